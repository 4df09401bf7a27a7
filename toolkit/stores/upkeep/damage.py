"""Damage to the arrays of one stage: chunks that are gone or cannot be decoded, and whose they are.

Nothing here trusts a chunk: each is read and decoded, and none is written.
"""

import os
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import Schema, Variable
from toolkit.stores.arrays.chunks import array_name, chunk_key, join
from toolkit.stores.arrays.hierarchy import DamagedChunk, Hierarchy

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

NO_RUNS: Ids = np.zeros(0, np.int64)

_CHUNK = re.compile(r"c\.([0-9]{1,18})(?:\.0)*")


class Damage(NamedTuple):
    """One damaged chunk, or a place in an array that does not fit.

    Parameters
    ----------
    key, number
        The array and the number of the chunk; -1 for no chunk.
    what
        What is wrong, in words.
    runs
        The runs with a value there, shape ``(n,)``.
    """

    key: str
    number: int
    what: str
    runs: Ids


def chunk_numbers(hierarchy: Hierarchy, key: str) -> list[int]:
    """Return the numbers of the chunks of an array that have a file, ascending."""
    folder = getattr(hierarchy.storage, "path", None)
    try:
        names = os.listdir(os.path.join(folder, key)) if folder is not None else []
    except (FileNotFoundError, NotADirectoryError):
        return []
    found = (_CHUNK.fullmatch(name) for name in names)
    return sorted({int(match[1]) for match in found if match})


def unsound_chunks(
    hierarchy: Hierarchy, key: str, needed: npt.ArrayLike
) -> Iterator[tuple[int, str]]:
    """Yield number and state of each chunk that is needed and gone, or there and broken.

    Parameters
    ----------
    needed
        Whether each chunk holds something, shape ``(n_chunks,)``; those beyond hold nothing.
    """
    wanted = np.asarray(needed, bool)
    there = set(chunk_numbers(hierarchy, key))
    for number in sorted({*there, *np.flatnonzero(wanted).tolist()}):
        if number >= len(wanted):
            continue
        if number not in there:
            yield number, "is gone"
            continue
        try:
            chunk = hierarchy.read_chunk(key, number)
        except DamagedChunk as error:
            yield number, f"cannot be decoded ({error.__cause__})"
        except MemoryError:
            yield number, "cannot be decoded (it says that it is larger than memory)"
        else:
            if chunk is None and wanted[number]:  # deleted while we looked
                yield number, "is gone"


def stage_damage(
    hierarchy: Hierarchy, group: str, schema: Schema, chunk_length: int, has_value: Mask
) -> Iterator[Damage]:
    """Yield the damage to the outputs of a stage.

    Parameters
    ----------
    hierarchy, group
        Where they are.
    schema, chunk_length
        As the attributes say.
    has_value
        Whether each run's values should be in their chunks, shape ``(n_runs,)``.
    """
    for variable in schema.variables:
        key = join(group, array_name(variable.name))
        keys = [key] if variable.kind in ("fixed", "text") else [f"{key}.start", f"{key}.length"]
        missing = [each for each in {key, *keys} if each not in hierarchy.documents]
        if missing:
            runs = np.flatnonzero(has_value)
            yield Damage(missing[0], -1, "is not in the metadata (zarr.json)", runs)
            continue
        if 0 in variable.shape:
            continue
        unknown = np.zeros(len(has_value), bool)
        for each in keys:
            for damage in _along_run(hierarchy, each, chunk_length, has_value):
                unknown[damage.runs] = True
                yield damage
        if len(keys) == 2:
            yield from _of_elements(hierarchy, key, variable, has_value & ~unknown)


def chunks_with(mask: Mask, length: int) -> Mask:
    """Return which chunks along ``run`` hold a run of the mask."""
    if not len(mask):
        return np.zeros(0, bool)
    found: Mask = np.logical_or.reduceat(mask, np.arange(0, len(mask), length))
    return found


def _along_run(
    hierarchy: Hierarchy, key: str, chunk_length: int, has_value: Mask
) -> Iterator[Damage]:
    stored = hierarchy.array(key).chunk[0]
    if stored != chunk_length or hierarchy.length(key) != len(has_value):
        what = (
            f"has {hierarchy.length(key):,} rows in chunks of {stored}, and the stage "
            f"{len(has_value):,} runs in chunks of {chunk_length}"
        )
        yield Damage(key, -1, what, np.flatnonzero(has_value))
        return
    for number, what in unsound_chunks(hierarchy, key, chunks_with(has_value, chunk_length)):
        first = number * chunk_length
        runs = first + np.flatnonzero(has_value[first : first + chunk_length])
        yield Damage(key, number, what, runs)


def _of_elements(
    hierarchy: Hierarchy, key: str, variable: Variable, has_value: Mask
) -> Iterator[Damage]:
    """Yield the damage to the values of a ragged output or the bytes of objects."""
    runs = np.flatnonzero(has_value)
    starts = hierarchy.take(f"{key}.start", runs)
    lengths = hierarchy.take(f"{key}.length", runs)
    room, length = hierarchy.length(key), hierarchy.array(key).chunk[0]
    outside = (starts < 0) | (lengths < 0) | (lengths > room) | (starts > room - lengths)
    outside &= lengths != 0
    if outside.any():
        what = f"holds {room:,} elements, and runs have theirs beyond (output {variable.name!r})"
        yield Damage(key, -1, what, runs[outside])
    filled = ~outside & (lengths > 0)
    runs, starts, ends = runs[filled], starts[filled], (starts + lengths)[filled]
    # One up where a run's elements begin, one down behind where they end.
    n_chunks = -(-room // length)
    steps = np.bincount(starts // length, minlength=n_chunks + 1)[: n_chunks + 1].astype(np.int64)
    steps[: n_chunks + 1] -= np.bincount((ends - 1) // length + 1, minlength=n_chunks + 1)
    for number, what in unsound_chunks(hierarchy, key, np.cumsum(steps)[:n_chunks] > 0):
        inside = (starts < (number + 1) * length) & (ends > number * length)
        yield Damage(key, number, what, runs[inside])


def place_of(hierarchy: Hierarchy, damage: Damage) -> str:
    """Return where in the store a damage is."""
    if damage.number < 0:
        return damage.key
    return chunk_key(hierarchy.array(damage.key), damage.number)
