"""A sweep's description, checked as a whole before anything runs."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.errors import SweepError
from toolkit.spaces.space import Space
from toolkit.stages.binding import Binding, bind
from toolkit.stages.identity import Identity, stage_identity
from toolkit.stages.stage import Stage, as_stage


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
        return stage_identity(
            self.stage.code, wiring=self.stage.wiring, seed=seed if is_random else None
        )


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
    if as_stage(present).code.token != stage.code.token:
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
