"""What the tasks of a layer refer to by its name, and how it reaches whoever makes a block.

Tasks carry a name and block numbers. In the process that describes the sweep the name leads to
the objects themselves. A graph that is sent takes the pickled content along once; the scheduler
that unpacks it keeps it (see ``shelf``), and a worker that meets an unknown name asks there.
"""

import hashlib
import itertools
import pickle
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from toolkit.graphs import shelf
from toolkit.graphs.along import Along, Ints
from toolkit.graphs.content import Content, is_stored
from toolkit.stages.pickling import dumps

BlockNumber = tuple[int, ...]
BlockKey = tuple[Any, ...]

_MOST_KEPT = 256


class ContentSource:
    """The content under its token: at hand, as bytes, or to be asked for.

    Parameters
    ----------
    token
        Of the content.
    content
        The content, where it is at hand.
    payload
        The content as bytes, where they are at hand.
    """

    def __init__(
        self, token: str, *, content: Content | None = None, payload: bytes | None = None
    ) -> None:
        self.token = token
        self._content, self._payload = content, payload
        self._lock = threading.Lock()

    @property
    def content(self) -> Content:
        """The content, unpacked once in each process."""
        with self._lock:
            if self._content is None:
                payload = self._payload or shelf.ask(self.token)
                self._content = pickle.loads(payload)
            return self._content

    @property
    def payload(self) -> bytes | None:
        """The content as bytes, None where somebody else has to be asked for them."""
        if self._payload is None and self._content is not None:
            self._payload = dumps(self._content)
        return self._payload

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as bytes."""
        return _received_source, (self.token, self.payload)


class LayerSpec:
    """One stage over some positions of its dims, in blocks.

    Parameters
    ----------
    source
        The content that it is part of.
    stage
        Name of the stage.
    axes
        Its dims, in the order of the Dataset.
    before
        The layers that its blocks take, in the order in which a block gets theirs.
    whole
        Dims that a block takes all blocks along.
    resources
        Dask resources that a block needs.
    """

    def __init__(
        self,
        source: ContentSource,
        stage: str,
        axes: tuple[Along, ...],
        before: "tuple[LayerSpec, ...]" = (),
        whole: tuple[str, ...] = (),
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self.source, self.stage, self.axes = source, stage, axes
        self.before, self.whole = before, whole
        self.resources = dict(resources or {})
        digest = hashlib.blake2b(source.token.encode(), digest_size=8)
        for axis in axes:
            digest.update(axis.identity())
        for each in before:
            digest.update(each.name.encode())
        self.name: str = f"{stage}-{digest.hexdigest()}"

    @property
    def numblocks(self) -> tuple[int, ...]:
        """Number of blocks along each dim."""
        return tuple(axis.n_blocks for axis in self.axes)

    def needed(self, number: BlockNumber) -> Iterator[BlockKey]:
        """Yield the keys of the blocks that a block takes."""
        at = {axis.name: block for axis, block in zip(self.axes, number, strict=True)}
        for each in self.before:
            ranges = [
                range(axis.n_blocks) if axis.name in self.whole else (at[axis.name],)
                for axis in each.axes
            ]
            for found in itertools.product(*ranges):
                yield (each.name, *found)

    def indices(self, number: BlockNumber) -> dict[str, Ints]:
        """Return the indices along each dim of a block."""
        return {
            axis.name: axis.indices(block) for axis, block in zip(self.axes, number, strict=True)
        }

    def without_content(self) -> bytes:
        """Return the layer as bytes, the content known by its token alone."""
        bare = ContentSource(self.source.token)
        return pickle.dumps(_with_source(self, bare), protocol=5)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the content; whoever unpacks the layer knows it by its name."""
        arguments = (self.source, self.stage, self.axes, self.before, self.whole, self.resources)
        return _received_layer, arguments


def is_block(key: object, name: str, numblocks: tuple[int, ...]) -> bool:
    """Whether a key is the name of a layer and the number of one of its blocks."""
    if type(key) is not tuple or len(key) != len(numblocks) + 1 or key[0] != name:
        return False
    # Dask makes some of its keys of numpy's integers.
    return all(
        isinstance(at, (int, np.integer)) and 0 <= at < n
        for at, n in zip(key[1:], numblocks, strict=True)
    )


def make_layer(
    source: ContentSource,
    stage: str,
    cuts: Mapping[str, Along] | None = None,
) -> LayerSpec:
    """Return the layer of a stage with those before it, known in this process by its name.

    Parameters
    ----------
    source
        The content.
    stage
        Name of the stage.
    cuts
        Dims of the stage of which only some positions are made.
    """
    held, lengths = source.content.stages[stage], source.content.lengths
    cuts = dict(cuts or {})
    axes = tuple(
        cuts.get(name) or Along(name=name, size=axis.dim.size, length=lengths[name])
        for name, axis in zip(held.dims, held.axes, strict=True)
    )
    narrower = {axis.name: axis for axis in axes}
    before: tuple[LayerSpec, ...] = ()
    if held.before and not is_stored(source.content, held, axes):
        before = tuple(make_layer(source, name, narrower) for name in held.before)
    gpus = {"GPU": float(held.gpus)} if held.gpus else {}
    return _known(LayerSpec(source, stage, axes, before, held.whole, gpus))


def find_layer(name: str) -> LayerSpec:
    """Return the layer of this name: known here, or asked for at the scheduler.

    Raises
    ------
    LookupError
        If nobody knows it any more.
    """
    found = _here(name)
    if found is None:
        with _asking:  # never while holding what the scheduler needs, which may be in this process
            found = _here(name) or pickle.loads(shelf.ask(name))
            with _lock:
                _kept[name] = found
                while len(_kept) > _MOST_KEPT:
                    _kept.popitem(last=False)
    return found


def _here(name: str) -> LayerSpec | None:
    with _lock:
        if name in _kept:
            _kept.move_to_end(name)
        return _alive.get(name)


_asking = threading.Lock()
_lock = threading.RLock()
_alive: weakref.WeakValueDictionary[str, LayerSpec] = weakref.WeakValueDictionary()
_sources: weakref.WeakValueDictionary[str, ContentSource] = weakref.WeakValueDictionary()
_kept: OrderedDict[str, LayerSpec] = OrderedDict()


def share(source: ContentSource) -> ContentSource:
    """Return the source of this token that is known in this process already, or this one."""
    with _lock:
        return _sources.setdefault(source.token, source)


def _known(layer: LayerSpec) -> LayerSpec:
    with _lock:
        return _alive.setdefault(layer.name, layer)


def _received_source(token: str, payload: bytes | None) -> ContentSource:
    return share(ContentSource(token, payload=payload))


def _received_layer(
    source: ContentSource,
    stage: str,
    axes: tuple[Along, ...],
    before: tuple[LayerSpec, ...],
    whole: tuple[str, ...],
    resources: Mapping[str, float],
) -> LayerSpec:
    layer = _known(LayerSpec(source, stage, axes, before, whole, resources))
    shelf.put(layer)
    return layer


def _with_source(layer: LayerSpec, source: ContentSource) -> LayerSpec:
    before = tuple(_with_source(each, source) for each in layer.before)
    return LayerSpec(source, layer.stage, layer.axes, before, layer.whole, layer.resources)
