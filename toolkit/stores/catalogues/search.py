"""Find the ids of cells among blocks."""

from collections.abc import Sequence

import numpy as np

from toolkit.stores.catalogues.block import Block, Table
from toolkit.stores.catalogues.box import Ints, Positions, locate, shape_of


def find_outer(blocks: Sequence[Block], wanted: list[Positions], *, stand_in: bool) -> Ints:
    """Return the ids of a product of positions, -1 where no block holds a cell.

    With ``stand_in``, runs to which a dim does not matter stand for all its positions.
    """
    ids = np.full(shape_of(wanted), -1, dtype=np.int64)
    if ids.size:
        for block in reversed(_by_priority(blocks, stand_in=stand_in)):
            block.fill_outer(ids, wanted, stand_in=stand_in)
    return ids


def find_points(blocks: Sequence[Block], points: list[Ints], *, stand_in: bool) -> Ints:
    """Return the ids of points, one array for each dim; -1 where no block holds one."""
    n = len(points[0]) if points else 1
    ids = np.full(n, -1, dtype=np.int64)
    open_ = np.arange(n)
    for block in _by_priority(blocks, stand_in=stand_in):
        if len(open_) == 0:
            break
        found = block.find_points([at[open_] for at in points], stand_in=stand_in)
        there = found >= 0
        ids[open_[there]] = found[there]
        open_ = open_[~there]
    return ids


def range_of_box(blocks: Sequence[Block], box: list[Positions]) -> range | None:
    """Return the ids of a box that lies in one block, in a row; else None."""
    for block in blocks:
        if isinstance(block, Table):
            if len(block.inside(tuple(box))):
                return None
            continue
        found = block.ids_of_box(box)
        if found is not None:
            return found
        if all((locate(a, w) >= 0).any() for a, w in zip(block.box, box, strict=True)):
            return None
    return None


def _by_priority(blocks: Sequence[Block], *, stand_in: bool) -> list[Block]:
    """Return the blocks, those first whose ids count: active before standing in, older first."""
    if not stand_in:
        return list(blocks)
    return sorted(blocks, key=lambda block: len(block.inactive))
