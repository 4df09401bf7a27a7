"""What each run of a stage needs: memory, walltime, threads, GPUs, as its ``resources=`` says."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.errors import StageError
from toolkit.resources import Resources
from toolkit.spaces.axis import INACTIVE
from toolkit.stages.binding import Binding
from toolkit.stages.signature import read_signature


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the runs of a stage need.

    Parameters
    ----------
    stage
        Name of the stage.
    fixed
        The same for all runs; None where ``resources`` says it.
    resources
        Called for each run with the parameters ``names``.
    names
        Parameters of the space that ``resources`` takes.
    """

    stage: str
    fixed: Resources | None = None
    resources: Callable[..., object] | None = None
    names: tuple[str, ...] = ()

    @property
    def may_limit_time(self) -> bool:
        """Whether some run may have a walltime."""
        return self.fixed is None or self.fixed.walltime is not None

    def of(self, values: Mapping[str, Sequence[Any]], n: int) -> list[Resources]:
        """Return what each of n runs needs.

        Parameters
        ----------
        values
            For each of ``names`` a sequence of n values.

        Raises
        ------
        StageError
            If the function of parameters raises, or returns something else than resources.
        """
        if self.fixed is not None:
            return [self.fixed] * n
        known: dict[Any, Resources] = {}
        needs = []
        columns = [values[name] for name in self.names]
        for row in zip(*columns, strict=True) if columns else [()] * n:
            try:
                found = known.get(row)
            except TypeError:  # what cannot be hashed is asked for again
                needs.append(self._ask(row))
                continue
            if found is None:
                found = known[row] = self._ask(row)
            needs.append(found)
        return needs

    def limits(self, values: Mapping[str, Sequence[Any]], n: int) -> list[float]:
        """Return seconds that each of n runs may take, infinite without a limit."""
        return [
            float("inf") if each.walltime is None else each.walltime for each in self.of(values, n)
        ]

    def _ask(self, row: tuple[Any, ...]) -> Resources:
        assert self.resources is not None
        given = {
            name: value
            for name, value in zip(self.names, row, strict=True)
            if value is not INACTIVE
        }
        try:
            found = self.resources(**given)
        except Exception as error:
            said = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise StageError(
                f"resources= of stage {self.stage!r} raises {type(error).__name__}: {error} at "
                f"{said or 'no parameters'}."
            ) from error
        if not isinstance(found, Resources):
            raise StageError(
                f"resources= of stage {self.stage!r} returns {found!r}; it must return "
                "tk.Resources(…)."
            )
        return found


def needs_of(binding: Binding) -> Needs:
    """Return what a stage's runs need; nothing in particular where it has no ``resources=``."""
    resources, fixed = binding.stage.resources, binding.stage.fixed_resources
    if resources is None or fixed is not None:
        return Needs(stage=binding.name, fixed=fixed or Resources())
    assert callable(resources)
    taken = read_signature(resources, f"resources= of {binding.name}").names
    names = tuple(name for name in taken if name in binding.uses)
    return Needs(stage=binding.name, resources=resources, names=names)
