"""The longest that each run may take, as its stage's resources say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.errors import StageError
from toolkit.resources import Resources
from toolkit.spaces.axis import INACTIVE
from toolkit.stages.binding import Binding
from toolkit.stages.signature import read_signature


@dataclass(frozen=True, kw_only=True)
class Walltime:
    """The walltimes of the runs of a stage.

    Parameters
    ----------
    stage
        Name of the stage.
    seconds
        The same for all runs; None where ``resources`` says it.
    resources
        Called for each run with the parameters ``names``.
    names
        Parameters of the space that ``resources`` takes.
    """

    stage: str
    seconds: float | None = None
    resources: Callable[..., object] | None = None
    names: tuple[str, ...] = ()

    def limits(self, values: Mapping[str, Sequence[Any]], n: int) -> list[float]:
        """Return seconds for each of n runs, infinite without a limit.

        Parameters
        ----------
        values
            For each of ``names`` a sequence of n values.

        Raises
        ------
        StageError
            If the function of parameters raises, or returns something else than resources.
        """
        if self.resources is None:
            return [float("inf") if self.seconds is None else self.seconds] * n
        known: dict[Any, float] = {}
        limits = []
        columns = [values[name] for name in self.names]
        for row in zip(*columns, strict=True) if columns else [()] * n:
            try:
                found = known.get(row)
            except TypeError:  # what cannot be hashed is asked for again
                limits.append(self._ask(row))
                continue
            if found is None:
                found = known[row] = self._ask(row)
            limits.append(found)
        return limits

    def _ask(self, row: tuple[Any, ...]) -> float:
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
        return float("inf") if found.walltime is None else found.walltime


def walltime_of(binding: Binding) -> Walltime | None:
    """Return the walltimes of a stage's runs, None where it has none."""
    resources, fixed = binding.stage.resources, binding.stage.fixed_resources
    if resources is None or (fixed is not None and fixed.walltime is None):
        return None
    if fixed is not None:
        return Walltime(stage=binding.name, seconds=fixed.walltime)
    assert callable(resources)
    taken = read_signature(resources, f"resources= of {binding.name}").names
    names = tuple(name for name in taken if name in binding.uses)
    return Walltime(stage=binding.name, resources=resources, names=names)
