"""A sweep's description, checked as a whole before anything runs."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from toolkit.errors import StageError, SweepError
from toolkit.inputs.frozen import Frozen, freeze
from toolkit.spaces.space import Space
from toolkit.stages.binding import Binding, bind
from toolkit.stages.frozen_arguments import identity_of
from toolkit.stages.stage import Stage, as_stage


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A stage with every argument matched, and its space with the stage's defaults recorded."""

    stage: Stage
    binding: Binding
    space: Space
    defaults: Mapping[str, object]
    frozen: Mapping[str, Frozen] = field(default_factory=dict)

    @property
    def identity(self) -> dict[str, Any]:
        """What the stored results of the stage depend on: its code and its frozen inputs."""
        return identity_of(self.stage, self.frozen)


def prepare(stage: Stage, space: Space, frozen: Mapping[str, object] | None = None) -> Prepared:
    """Match a stage with a space and frozen inputs, which are frozen now unless they are already.

    Raises
    ------
    StageError
        If an argument has no source or two, or a parameter or frozen input is used by nothing.
    FrozenError
        If an input cannot be frozen.
    """
    frozen = dict(frozen or {})
    binding = bind(
        stage,
        {name: _kind(space, name) for name in space.names},
        frozen=frozen,
        dims=[dim.name for dim in space.dims if dim.name not in space.names],
    )
    check_frozen_used(frozen, [binding])
    handles = {name: freeze(each, name) for name, each in frozen.items()}
    return Prepared(
        stage=stage,
        binding=replace(binding, call=binding.call.with_constants(handles)),
        space=space.with_constants(binding.defaults),
        defaults=binding.defaults,
        frozen=handles,
    )


def check_frozen_used(frozen: Iterable[str], bindings: Iterable[Binding]) -> None:
    """Raise a StageError where a frozen input is taken by no stage."""
    bindings = list(bindings)
    taken = {
        argument.source
        for binding in bindings
        for argument in binding.call.arguments
        if argument.kind == "constant"
    }
    unused = [name for name in frozen if name not in taken]
    if unused:
        stages = "; ".join(
            f"stage {each.name!r} takes {', '.join(each.stage.signature.names) or 'no arguments'}"
            for each in bindings
        )
        raise StageError(
            f"Nothing uses the frozen input {', '.join(map(repr, unused))}: {stages}. Name it "
            "after the argument, use rename={'argument': 'input'}, or leave it out."
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
