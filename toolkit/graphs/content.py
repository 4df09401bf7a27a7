"""What a lazy Dataset is made from, as plain data: the stages, their spaces, what is stored."""

import hashlib
import uuid
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from toolkit.graphs.along import Along, Ints
from toolkit.graphs.stored import Shelf
from toolkit.run_status import Status
from toolkit.spaces.axis import Field
from toolkit.spaces.condition import Condition
from toolkit.spaces.space import Space
from toolkit.stages.call import StageCall
from toolkit.stages.frozen_arguments import thaw
from toolkit.stages.pickling import dumps
from toolkit.stages.preparing import PreparedStage
from toolkit.stages.schema import Schema
from toolkit.stages.trial import Trial
from toolkit.stages.wiring import Link
from toolkit.stores.reading.frame import AlongDim

_HASHED = 4_000_000
_ENDED = np.isin(np.arange(256), [Status.DONE, Status.STALE, Status.FAILED])


@dataclass(frozen=True, kw_only=True, eq=False)
class LazyStage:
    """One stage: how it is called, over what, and what it takes from the stages before it.

    Parameters
    ----------
    call
        How its function is called.
    space
        The space that it runs over.
    whole
        Dims that it takes whole.
    links
        Arguments that other stages give.
    defaults
        What stored runs of older spaces are said to have had.
    missing
        What becomes of runs that need a failed one.
    threads, gpus
        What one run uses.
    keep
        Whether it is a variable of the Dataset.
    schema
        What a run returns; None before that is known.
    """

    call: StageCall
    space: Space
    whole: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    missing: Literal["block", "allow"] = "block"
    threads: int = 1
    gpus: int = 0
    keep: bool = True
    schema: Schema | None = None

    @classmethod
    def of(cls, prepared: PreparedStage, schema: Schema | None = None) -> "LazyStage":
        """Return a stage of a prepared sweep."""
        resources = prepared.stage.fixed_resources
        space = prepared.space
        return cls(
            call=prepared.binding.call,
            space=replace(space, conditions=tuple(map(_plain, space.conditions))),
            whole=prepared.whole,
            links=prepared.node.links,
            defaults=dict(prepared.defaults),
            missing=prepared.stage.missing,
            threads=1 if resources is None else resources.threads,
            gpus=0 if resources is None else resources.gpus,
            keep=prepared.stage.keep,
            schema=schema,
        )

    @property
    def name(self) -> str:
        """Name of the stage."""
        return self.call.name

    @property
    def before(self) -> tuple[str, ...]:
        """Names of the stages whose outputs it takes, each once."""
        return tuple(dict.fromkeys(link.stage for link in self.links))

    @cached_property
    def axes(self) -> tuple[AlongDim, ...]:
        """The dims that are seen, as a Dataset has them."""
        return tuple(AlongDim.of(dim) for dim in self.space.dims if not dim.hidden)

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dims that are seen."""
        return tuple(axis.dim.name for axis in self.axes)

    @property
    def has_gaps(self) -> bool:
        """Whether the space leaves cells out."""
        return any(each.parameter is None and not each.mask.all() for each in self.space.conditions)

    def part(self, indices: Mapping[str, Ints]) -> Space:
        """Return the space at some indices along dims, other dims being whole.

        Its cells are in the order of the Dataset; along whole dims in that of the space.
        """
        dims, fields, conditions = list(self.space.dims), self.space.fields, self.space.conditions
        for name, positions in self.positions(indices).items():
            number = next(n for n, dim in enumerate(dims) if dim.name == name)
            dims[number] = dims[number].take(positions)
            fields = tuple(
                each.take(name, positions) if name in each.dims else each for each in fields
            )
            conditions = tuple(each.take(name, positions) for each in conditions)
        return Space(tuple(dims), fields, conditions)

    def positions(self, indices: Mapping[str, Ints]) -> dict[str, Ints]:
        """Return positions along dims of the space from indices along dims of the Dataset."""
        axes = {axis.dim.name: axis for axis in self.axes}
        return {name: axes[name].positions(at) for name, at in indices.items()}

    @cached_property
    def ready(self) -> StageCall:
        """The call with its frozen inputs loaded in this process."""
        return thaw(self.call)

    @cached_property
    def trial(self) -> Trial | None:
        """What this process knows of how many runs fit in one call of a vectorized stage."""
        return Trial() if self.call.vectorized else None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made again where it is used."""
        made_here = ("axes", "ready", "trial")
        return {name: value for name, value in self.__dict__.items() if name not in made_here}

    def identity(self) -> bytes:
        """Return what two stages have in common if they give the same values."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(dumps((self.call, self.whole, self.links, self.missing)))
        for dim in self.space.dims:
            digest.update(f"{dim.name} {dim.size} {dim.kind} {dim.common} {dim.hidden}".encode())
            if dim.label_column is None and dim.numbers is not None:
                digest.update(_bytes(dim.numbers))
            for column in dim.columns:
                digest.update(column.name.encode() + _bytes(column.labels))
                if column.objects is not None:
                    digest.update(dumps(column.objects))
        for given in self.space.fields:
            digest.update(_identity_of(given))
        for condition in self.space.conditions:
            digest.update(f"{condition.parameter} {condition.dims}".encode())
            digest.update(np.packbits(condition.mask).tobytes())
        return digest.digest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """All that whoever makes a block has to know; travels once to each process.

    Parameters
    ----------
    stages
        By name, each after those that it needs.
    seed
        Of the random streams.
    shelf
        What is stored already.
    lengths
        Positions in a block, by dim.
    """

    stages: Mapping[str, LazyStage]
    lengths: Mapping[str, int]
    seed: int
    shelf: Shelf

    def token(self) -> str:
        """Return a token that two contents share only if they give the same values."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(f"{self.seed} ".encode() + self.shelf.identity())
        for stage in self.stages.values():
            digest.update(stage.identity())
        return digest.hexdigest()


def is_stored(content: Content, stage: LazyStage, axes: Sequence[Along]) -> bool:
    """Whether every run of a stage along some axes has an outcome, so that it needs no other."""
    runs = content.shelf.runs(stage.name)
    if runs is None or not runs.n_runs:
        return False
    is_whole = all(axis.chosen is None for axis in axes)
    space = stage.space if is_whole else stage.part({axis.name: axis.indices() for axis in axes})
    found = runs.catalogue.find(space, defaults=stage.defaults)
    if isinstance(found, range):
        if found.stop > runs.n_runs:
            return False
        status = np.asarray(runs.read("status", slice(found.start, found.stop)))
    else:
        if not len(found) or found.min() < 0 or found.max() >= runs.n_runs:
            return False
        status = np.asarray(runs.read("status", found))
    return bool(_ENDED[status].all())


def _plain(condition: Condition) -> Condition:
    """Return a condition without the function that it was made by."""
    return replace(condition, function=bool)


def _bytes(values: Any) -> bytes:
    """Return what two arrays have in common if they are equal, or one; large ones are not read."""
    if values.dtype.hasobject:
        return repr(values.tolist()).encode()
    if values.nbytes > _HASHED:
        return _name_of(values)
    digest = hashlib.blake2b(repr((values.dtype, values.shape)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(values).view(np.uint8).data)
    return digest.digest()


def _name_of(values: Any) -> bytes:
    known = _names.get(id(values))
    if known is None or known[0]() is not values:
        key = id(values)
        reference = weakref.ref(values, lambda _: _names.pop(key, None))
        known = _names[key] = (reference, uuid.uuid4().bytes)
    return known[1]


_names: dict[int, tuple[Any, bytes]] = {}


def _identity_of(given: Field) -> bytes:
    """Return what tells a field's values from others without looking at more than a few MB."""
    name = f"{given.name} {given.dims} {given.data.dims} {given.data.shape} ".encode()
    held: Any = given.data.variable._data
    if isinstance(held, np.ndarray):
        return name + _bytes(held)
    # What is lazy is not looked at: another lazy Dataset of a file does not share its blocks.
    return name + str(getattr(held, "name", None) or uuid.uuid4()).encode()
