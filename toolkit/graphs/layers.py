"""Layers of the graph that are made of arithmetic, and the tasks that they give when asked."""

import itertools
import math
from collections.abc import Collection, Iterator, KeysView, Mapping, Set
from typing import Any

from dask._task_spec import Task, TaskRef
from dask.highlevelgraph import Layer
from dask.typing import Key

from toolkit.graphs.block import Block, make_block
from toolkit.graphs.layer_spec import BlockKey, BlockNumber, LayerSpec, find_layer, is_block
from toolkit.graphs.pick import pick
from toolkit.graphs.shown import Shown


def run_block(name: str, number: BlockNumber, *before: Block) -> Block:
    """Return a block of the layer of this name; what a task calls."""
    return make_block(find_layer(name), number, before)


class BlockTask(Task):
    """Makes one block. Nothing is fused with it: it may need a worker that others do not need."""

    __slots__ = ()

    @property
    def block_fusion(self) -> bool:
        """Whether Dask is to leave the task by itself."""
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as keys alone."""
        needed = tuple(each.key for each in self.args[2:])
        return _block_task, (self.key, self.args[:2], needed)


def _block_task(key: Key, named: tuple[str, BlockNumber], needed: tuple[Key, ...]) -> BlockTask:
    return BlockTask(key, run_block, *named, *map(TaskRef, needed))


class BlockLayer(Layer):
    """A layer with a key for each block, or for some of them; nothing is made to describe it.

    Parameters
    ----------
    name
        Of the layer; the first part of its keys.
    numblocks
        Number of blocks along each dim.
    only
        Numbers of the blocks that are asked for; None for all.
    annotations
        As for any layer of Dask.
    """

    has_legacy_tasks = False

    def __init__(
        self,
        name: str,
        numblocks: tuple[int, ...],
        only: frozenset[BlockNumber] | None,
        annotations: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(annotations=annotations)
        self.name, self.numblocks, self.only = name, numblocks, only

    def is_materialized(self) -> bool:
        """Return False: tasks are made when they are asked for."""
        return False

    def get_output_keys(self) -> Set[Key]:
        """Return the keys of the blocks, as a view."""
        return KeysView(self)

    def __iter__(self) -> Iterator[BlockKey]:
        every = itertools.product(*map(range, self.numblocks))
        return ((self.name, *number) for number in (every if self.only is None else self.only))

    def __len__(self) -> int:
        return math.prod(self.numblocks) if self.only is None else len(self.only)

    def __contains__(self, key: object) -> bool:
        is_mine = is_block(key, self.name, self.numblocks)
        return is_mine and (self.only is None or key[1:] in self.only)  # type: ignore[index]


class StageLayer(BlockLayer):
    """The blocks of a stage, or some of them.

    Parameters
    ----------
    spec
        The stage, its dims and their blocks.
    only
        Numbers of the blocks that are asked for; None for all.
    annotations
        As for any layer of Dask.
    """

    def __init__(
        self,
        spec: LayerSpec,
        only: frozenset[BlockNumber] | None = None,
        annotations: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(spec.name, spec.numblocks, only, annotations)
        self.spec = spec

    def __getitem__(self, key: Any) -> Task:
        if key not in self:
            raise KeyError(key)
        number = tuple(map(int, key[1:]))
        return _block_task(key, (self.spec.name, number), tuple(self.spec.needed(number)))

    def cull(
        self, keys: set[Key], all_hlg_keys: Collection[Key]
    ) -> "tuple[StageLayer, Mapping[Key, set[Key]]]":
        """Return the layer of the blocks that are asked for, and what each needs."""
        del all_hlg_keys
        mine = _mine(self, keys)
        found: dict[Key, set[Key]] = {key: set(self.spec.needed(key[1:])) for key in mine}
        return StageLayer(self.spec, frozenset(key[1:] for key in mine), self.annotations), found

    def get_dependencies(self, key: Any, all_hlg_keys: Collection[Key]) -> set[Key]:
        """Return the keys that a block needs."""
        del all_hlg_keys
        return set(self.spec.needed(key[1:]))

    def __reduce__(self) -> tuple[Any, ...]:
        return StageLayer, (self.spec, self.only, self.annotations)


class PickLayer(BlockLayer):
    """One output of the blocks of a stage, the outer blocks trimmed to what is shown.

    Parameters
    ----------
    shown
        The output, and where it is shown.
    only
        Numbers of the blocks that are asked for; None for all.
    annotations
        As for any layer of Dask.
    """

    def __init__(
        self,
        shown: Shown,
        only: frozenset[BlockNumber] | None = None,
        annotations: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(shown.name, shown.numblocks, only, annotations)
        self.shown, self._seen = shown, shown.seen

    def __getitem__(self, key: Any) -> Task:
        if key not in self:
            raise KeyError(key)
        shown, blocks = self.shown, self._blocks(key)
        windows = list(zip(shown.windows, blocks, strict=True))
        found = [window.trim(block - window.first_block) for window, block in windows]
        trims: Any = tuple(
            trim[0] if window.hidden else trim
            for trim, window in zip(found, shown.windows, strict=True)
        )
        bounds = [window.along.bounds(block) for window, block in windows]
        if all(trim == (0, hi - lo) for trim, (lo, hi) in zip(trims, bounds, strict=True)):
            trims = None
        source = TaskRef((shown.layer.name, *blocks))
        inner = (shown.dtype, shown.shape, shown.errors)
        return Task(key, pick, source, shown.variable, *inner, trims)

    def cull(
        self, keys: set[Key], all_hlg_keys: Collection[Key]
    ) -> "tuple[PickLayer, Mapping[Key, set[Key]]]":
        """Return the layer of the blocks that are asked for, and what each needs."""
        del all_hlg_keys
        mine = _mine(self, keys)
        name = self.shown.layer.name
        found: dict[Key, set[Key]] = {key: {(name, *self._blocks(key))} for key in mine}
        return PickLayer(self.shown, frozenset(key[1:] for key in mine), self.annotations), found

    def get_dependencies(self, key: Key, all_hlg_keys: Collection[Key]) -> set[Key]:
        """Return the key that a block needs."""
        del all_hlg_keys
        return {(self.shown.layer.name, *self._blocks(key))}

    def __reduce__(self) -> tuple[Any, ...]:
        return PickLayer, (self.shown, self.only, self.annotations)

    def _blocks(self, key: Any) -> BlockNumber:
        """Return the number of the stage's block that a key shows."""
        found = [window.first_block for window in self.shown.windows]
        for dim, at in zip(self._seen, key[1:], strict=False):
            found[dim] += int(at)
        return tuple(found)


def _mine(layer: Layer, keys: Collection[Key]) -> list[Any]:
    """Return those of some keys that are a layer's: tuples of its name and numbers."""
    if len(layer) < len(keys):
        return [key for key in layer if key in keys]
    return [key for key in keys if key in layer]
