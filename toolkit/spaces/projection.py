"""The part of a space that a stage depends on: fewer dims, the same labels."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from toolkit.spaces import build
from toolkit.spaces.axis import Dim, Field
from toolkit.spaces.condition import Condition, Mask
from toolkit.spaces.space import Space


def needed_dims(space: Space, names: Collection[str]) -> tuple[str, ...]:
    """Return the dims that parameters depend on, in the order of the space.

    A parameter depends on the dims that it lies along and, where it matters only under a
    condition (``when``), on those of the condition's arguments.
    """
    wanted: set[str] = set()
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        found = space.dims_of(name)
        wanted.update(found)
        for condition in space.conditions:
            if condition.parameter in {name, *found}:
                waiting += condition.arguments
    return tuple(dim.name for dim in space.dims if dim.name in wanted)


def project(
    space: Space, dims: Collection[str], *, taken: Mapping[str, str] | None = None
) -> Space:
    """Return the space over some of its dims: each run stands for all that differ elsewhere.

    A run is there if any of those that it stands for is. A parameter over several dims is left out
    with any of them, unless it is taken whole: then that dim stays inside of the values.

    Parameters
    ----------
    space
        The whole space.
    dims
        The dims that stay, constants (dims of size 1 that are not seen) included.
    taken
        Dims that a stage takes whole, with what their labels are called together; these become
        constants named ``over_<dim>``, so that runs over other labels are other runs.

    Examples
    --------
    >>> from toolkit.spaces.grid import grid
    >>> space = grid(size=[10, 20], seed=[1, 2, 3], model="sir")
    >>> project(space, ["size", "model"]).sizes
    {'size': 2}
    """
    kept = tuple(dim for dim in space.dims if dim.name in dims)
    names = {dim.name for dim in kept}
    whole = set(taken or ())
    fields = tuple(
        _with_inner(field, whole) if set(field.dims) & whole else field
        for field in space.fields
        if set(field.dims) - whole <= names
    )
    conditions = [each for each in space.conditions if set(each.dims) <= names]
    conditions = [each for each in conditions if each.parameter is None or each.parameter in names]
    crossing = [
        each for each in space.conditions if each.parameter is None and not set(each.dims) <= names
    ]
    if crossing:
        merged = _any_of(crossing, space.dims, names)
        conditions += [merged] if merged is not None else []
    constants = tuple(
        build.constant(over_name(name), label, required=False)
        for name, label in (taken or {}).items()
    )
    return Space((*kept, *constants), fields, tuple(conditions))


def ascending(dim: Dim) -> Dim:
    """Return a dim with numbers and dates ascending, as stages get dims that they take whole."""
    if dim.labels.dtype.kind not in "iufmM":
        return dim
    return dim.take(np.argsort(dim.labels, kind="stable"), hidden=dim.hidden)


def over_name(dim: str) -> str:
    """Return the name of the constant that says which labels of a dim a stage took whole."""
    return f"over_{dim}"


def taken_label(space: Space, dim: str) -> str:
    """Return one label for all labels of a dim: how many there are, and a digest of them.

    Which cells conditions leave out along the dim, or where it does not matter, belongs to it.
    """
    whole = space.dim(dim)
    digest = whole.digests().sum(axis=0, dtype=np.uint64)
    names = {dim, *(column.name for column in whole.columns)}
    words = [int(word) for word in digest]
    words += [
        _digest(each, space)
        for each in space.conditions
        if (dim in each.dims or each.parameter in names) and not each.mask.all()
    ]
    mixed = 0
    for word in words:
        mixed = (mixed * 1_000_003 ^ word) % 2**64
    return f"{whole.size} labels {mixed:016x}"


def _digest(condition: Condition, space: Space) -> int:
    """Return a number that tells which labels a condition keeps, in whatever order they are."""
    mask = condition.mask
    digest = hashlib.blake2b(repr((condition.parameter, condition.dims)).encode(), digest_size=8)
    for number, name in enumerate(condition.dims):
        labels = space.dim(name).digests()
        order = np.lexsort(labels.T)
        mask = mask.take(order, axis=number)
        digest.update(labels[order].tobytes())
    digest.update(np.packbits(mask.ravel()).tobytes() + repr(mask.shape).encode())
    return int.from_bytes(digest.digest(), "little")


def _with_inner(field: Field, dims: Collection[str]) -> Field:
    outer = tuple(dim for dim in field.dims if dim not in dims)
    inside = [dim for dim in field.dims if dim in dims]
    return replace(field, dims=outer, data=field.data.transpose(*outer, *inside, ...))


def _any_of(
    conditions: list[Condition], dims: tuple[Dim, ...], kept: Collection[str]
) -> Condition | None:
    """Return where any completion along the dims left out satisfies all of some conditions."""
    involved = {name for each in conditions for name in each.dims}
    order = [dim.name for dim in dims if dim.name in involved]
    sizes = {dim.name: dim.size for dim in dims}
    mask = np.ones([sizes[name] for name in order], dtype=bool)
    for each in conditions:
        shape = [sizes[name] if name in each.dims else 1 for name in order]
        at = [each.dims.index(name) for name in order if name in each.dims]
        mask &= each.mask.transpose(at).reshape(shape)
    left = tuple(name for name in order if name in kept)
    gone = tuple(n for n, name in enumerate(order) if name not in kept)
    any_left: Mask = np.asarray(mask.any(axis=gone))
    if not left or any_left.all():
        return None
    first = conditions[0]
    arguments = tuple(dict.fromkeys(name for each in conditions for name in each.arguments))
    return Condition(
        function=first.function, parameter=None, arguments=arguments, dims=left, mask=any_left
    )
