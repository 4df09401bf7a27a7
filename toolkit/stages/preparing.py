"""A sweep's description, checked as a whole before anything runs."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from toolkit.errors import StageError, SweepError
from toolkit.inputs.frozen import Frozen, freeze
from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.projection import ascending, needed_dims, project, taken_label
from toolkit.spaces.space import Space
from toolkit.stages.binding import Binding
from toolkit.stages.code import code_hash
from toolkit.stages.frozen_arguments import frozen_in
from toolkit.stages.identity import Identity, stage_identity
from toolkit.stages.stage import Stage
from toolkit.stages.wiring import Node, wire


@dataclass(frozen=True, kw_only=True)
class PreparedStage:
    """A stage with every argument matched, and the part of the space that it runs over.

    Parameters
    ----------
    node
        The stage among the others.
    space
        The space over the dims that it depends on, with its defaults recorded as constants.
    whole
        Dims that it takes whole.
    """

    node: Node
    space: Space
    whole: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.node.name

    @property
    def stage(self) -> Stage:
        """The stage."""
        return self.node.stage

    @property
    def binding(self) -> Binding:
        """Its arguments, matched."""
        return self.node.binding

    @property
    def defaults(self) -> Mapping[str, object]:
        """What runs of older spaces are said to have had, by parameter."""
        return self.node.defaults


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A sweep's stages, each after those that it needs, and the whole space.

    Parameters
    ----------
    stages
        The stages in the order of running.
    space
        The space that was asked for, with all defaults recorded as constants.
    """

    stages: tuple[PreparedStage, ...]
    space: Space
    frozen: Mapping[str, Frozen] = field(default_factory=dict)

    def named(self, name: str) -> PreparedStage:
        """Return the stage of this name."""
        for each in self.stages:
            if each.name == name:
                return each
        raise SweepError(
            f"{name!r} is not a stage of this sweep: {', '.join(s.name for s in self.stages)}."
        )

    def before(self, name: str) -> tuple[PreparedStage, ...]:
        """Return the stages that a stage needs, directly or through others."""
        needed: dict[str, PreparedStage] = {}
        waiting = list(self.named(name).node.upstream)
        while waiting:
            found = self.named(waiting.pop())
            if found.name not in needed:
                needed[found.name] = found
                waiting += found.node.upstream
        return tuple(needed.values())

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The stages' wiring, in the order of running."""
        return tuple(each.node for each in self.stages)


def prepare(
    stages: Sequence[Stage],
    space: Space,
    *,
    frozen: Mapping[str, object] | None = None,
    stored: Callable[[str], Iterable[str]] = lambda _: (),
) -> Prepared:
    """Match stages with a space, frozen inputs and each other.

    Parameters
    ----------
    stages
        In any order.
    space
        The space.
    frozen
        The frozen inputs by name; frozen now unless they are already.
    stored
        Gives the outputs that a stage is known to have where it declares none.

    Raises
    ------
    StageError
        If an argument has no source or two, a parameter or frozen input is used by nothing, the
        stages need each other in a circle, or a dim that is taken whole is not there.
    FrozenError
        If an input cannot be frozen.
    """
    frozen = dict(frozen or {})
    nodes = wire(
        stages,
        {name: _kind(space, name) for name in space.names},
        dims=[dim.name for dim in space.dims if dim.name not in space.names],
        frozen=frozen,
        stored=stored,
    )
    check_frozen_used(frozen, [node.binding for node in nodes])
    handles = {name: freeze(each, name) for name, each in frozen.items()}
    nodes = tuple(_with_frozen(node, handles) for node in nodes)
    defaults = {name: value for node in nodes for name, value in node.defaults.items()}
    whole_space = space.with_constants(defaults)
    if len(nodes) == 1 and not nodes[0].stage.over:
        only = PreparedStage(node=nodes[0], space=whole_space)
        return Prepared(stages=(only,), space=whole_space, frozen=handles)
    made: dict[str, PreparedStage] = {}
    dims: dict[str, set[str]] = {}
    taken: dict[str, dict[str, str]] = {}
    for node in nodes:
        made[node.name] = _over_own_dims(node, whole_space, dims, taken)
    return Prepared(stages=tuple(made.values()), space=whole_space, frozen=handles)


def _with_frozen(node: Node, handles: Mapping[str, Frozen]) -> Node:
    """Return a stage with the inputs that it takes."""
    sources = set(node.binding.arguments.values())
    own = {name: handle for name, handle in handles.items() if name in sources}
    if not own:
        return node
    binding = replace(node.binding, call=node.binding.call.with_constants(own))
    return replace(node, binding=binding)


def _over_own_dims(
    node: Node, space: Space, dims: dict[str, set[str]], taken: dict[str, dict[str, str]]
) -> PreparedStage:
    """Return a stage with its part of the space; ``dims`` and ``taken`` of those before it grow."""
    own = set(node.binding.uses) | set(node.binding.defaults)
    if node.binding.takes_rng or node.binding.takes_run_seed:
        own |= {c.name for dim in space.dims if dim.kind == "replicates" for c in dim.columns}
    reached = set(needed_dims(space, own)).union(*(dims[name] for name in node.upstream))
    over = node.stage.over
    missing = [name for name in over if name not in reached]
    if missing:
        there = ", ".join(name for name in space.sizes if name in reached) or "none"
        raise StageError(
            f"Stage {node.name!r} takes {', '.join(map(repr, missing))} whole (over=), and none of "
            f"its arguments varies along it. Dims of its arguments: {there}."
        )
    labels = {name: label for before in node.upstream for name, label in taken[before].items()}
    labels |= {name: taken_label(space, name) for name in over}
    dims[node.name], taken[node.name] = reached - set(over), labels
    if over:
        node = replace(node, binding=_with_whole_labels(node.binding, space))
    kept = dims[node.name] | set(node.defaults)
    return PreparedStage(node=node, space=project(space, kept, taken=labels), whole=over)


def _with_whole_labels(binding: Binding, space: Space) -> Binding:
    """Return a binding whose arguments along dims taken whole are arrays of all their labels."""
    whole: dict[str, object] = {}
    for name in binding.stage.over:
        dim = ascending(space.dim(name))
        for column in dim.columns:
            whole[column.name] = _labelled_values(column, dim)
    arguments = tuple(
        replace(argument, kind="constant") if argument.source in whole else argument
        for argument in binding.call.arguments
    )
    used = {
        argument.source: whole[argument.source]
        for argument in arguments
        if argument.source in whole
    }
    return replace(binding, call=replace(binding.call, arguments=arguments).with_constants(used))


def _labelled_values(column: Column, dim: Dim) -> object:
    import xarray as xr

    values = column.array(np.arange(dim.size))
    return xr.DataArray(values, dims=(dim.name,), coords={dim.name: dim.labels}, name=column.name)


def identities(prepared: Prepared, seed: int) -> dict[str, Identity]:
    """Return by what the results of each stage are known, in a sweep with this seed."""
    found: dict[str, Identity] = {}
    for each in prepared.stages:
        binding = each.binding
        is_random = binding.takes_rng or binding.takes_run_seed
        found[each.name] = stage_identity(
            each.stage.code,
            {name: handle.identity for name, handle in frozen_in(binding.call).items()},
            {name: found[name] for name in each.node.upstream},
            wiring=each.stage.wiring,
            # Streams depend on the name of the stage, too.
            seed=f"{seed} for {each.name}" if is_random else None,
        )
    return found


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
