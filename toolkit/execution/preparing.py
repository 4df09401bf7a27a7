"""A sweep's description, checked as a whole before anything runs."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.errors import SweepError
from toolkit.spaces.space import Space
from toolkit.stages.binding import Binding, bind
from toolkit.stages.code import code_hash
from toolkit.stages.identity import Identity, stage_identity
from toolkit.stages.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A stage with every argument matched, and its space with the stage's defaults recorded."""

    stage: Stage
    binding: Binding
    space: Space
    defaults: Mapping[str, object]

    def identity(self, seed: int) -> Identity:
        """Return by what the stage's results are known, in a sweep with this seed."""
        binding = self.binding
        is_random = binding.takes_rng or binding.takes_run_seed
        # Streams depend on the name of the stage, too.
        stream = f"{seed} for {self.stage.name}" if is_random else None
        return stage_identity(self.stage.code, wiring=self.stage.wiring, seed=stream)


def prepare(stage: Stage, space: Space) -> Prepared:
    """Match a stage with a space.

    Raises
    ------
    StageError
        If an argument has no source or two, or a parameter is used by nothing.
    """
    binding = bind(
        stage,
        {name: _kind(space, name) for name in space.names},
        dims=[dim.name for dim in space.dims if dim.name not in space.names],
    )
    return Prepared(
        stage=stage,
        binding=binding,
        space=space.with_constants(binding.defaults),
        defaults=binding.defaults,
    )


def replaced(stages: Sequence[Stage], mended: Sequence[Stage]) -> tuple[Stage, ...]:
    """Return stages with those of the same name as a mended one replaced; a single one anyway.

    Raises
    ------
    SweepError
        If no stage has the name of a mended one.
    """
    if len(stages) == len(mended) == 1:
        return tuple(mended)
    by_name = {stage.name: stage for stage in mended}
    unknown = sorted(by_name.keys() - {stage.name for stage in stages})
    if unknown:
        raise SweepError(
            f"There is no stage {', '.join(map(repr, unknown))} to replace; the sweep has "
            f"{', '.join(repr(stage.name) for stage in stages)}. Give the mended function the "
            "name of its stage: tk.stage(function, name=…)."
        )
    return tuple(by_name.get(stage.name, stage) for stage in stages)


def require_current(stage: Stage) -> None:
    """Raise where a stage's function was defined anew since, as in an edited notebook cell.

    Raises
    ------
    SweepError
        It says to use ``replace``.
    """
    held = stage.function
    module = sys.modules.get(getattr(held, "__module__", None) or "")
    found: object = module
    for part in getattr(held, "__qualname__", "<locals>").split("."):
        found = getattr(found, part, None)
    present = getattr(found, "function", found)
    if present is None or present is held or not callable(present):
        return
    if code_hash(present).token != code_hash(held).token:  # whatever version= says
        raise SweepError(
            f"{stage.name!r} was defined anew since this sweep was made, which still holds the "
            f"old function. Use sweep.replace(stages={stage.name}).retry()."
        )


def _kind(space: Space, name: str) -> str:
    if name not in space.required:
        return "label"
    for dim in space.dims:
        if any(column.name == name for column in dim.columns):
            return dim.kind
    return "field"
