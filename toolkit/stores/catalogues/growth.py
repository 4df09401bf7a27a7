"""Add cells to blocks: what no block holds yet becomes a new block, the others keep their ids."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from toolkit.stores.catalogues.block import Block, Product, Table
from toolkit.stores.catalogues.box import (
    Box,
    Ints,
    as_array,
    compact,
    locate,
    shape_of,
    subtract_box,
)
from toolkit.stores.catalogues.search import find_outer, find_points

SPARSE = 10
"""A block lists its cells where it would keep fewer than one in this many of a box."""

MAX_PIECES = 512

MANY_BLOCKS = 16
"""After so many blocks small boxes are listed cell by cell: tables can be joined."""

SMALL_BOX = 1024


def add_box(blocks: list[Block], box: Box, asked: npt.NDArray[np.bool_] | None) -> None:
    """Append blocks for the cells of a box (those asked for) that no block holds."""
    pieces = [box]
    for block in blocks:
        if isinstance(block, Product):
            pieces = [rest for piece in pieces for rest in subtract_box(piece, block.box)]
        if not pieces:
            return
        if len(pieces) > MAX_PIECES:
            _add_left(blocks, box, asked)
            return
    for piece in pieces:
        part = None
        if asked is not None:
            part = asked[np.ix_(*[locate(a, p) for a, p in zip(box, piece, strict=True)])]
        for block in list(blocks):
            if isinstance(block, Table):
                rows = block.rows[block.inside(piece)]
                if len(rows):
                    part = np.ones(shape_of(piece), dtype=bool) if part is None else part
                    part[tuple(locate(a, r) for a, r in zip(piece, rows.T, strict=True))] = False
        _append_box(blocks, piece, part)


def add_rows(blocks: list[Block], rows: Ints) -> None:
    """Append the rows that no block holds."""
    found = find_points(blocks, list(rows.T), stand_in=False)
    rows = rows[found < 0]
    if len(rows):
        _append(blocks, Table(start=_end(blocks), rows=np.ascontiguousarray(rows)))


def _append_box(blocks: list[Block], box: Box, asked: npt.NDArray[np.bool_] | None) -> None:
    """Append the cells of a box that are asked for, none of which any block holds."""
    if asked is None:
        _append(blocks, Product(start=_end(blocks), box=box))
        return
    if not asked.any():
        return
    for dim in range(asked.ndim):
        used = np.flatnonzero(asked.any(axis=tuple(d for d in range(asked.ndim) if d != dim)))
        if len(used) < asked.shape[dim]:
            asked = np.take(asked, used, axis=dim)
            axis = compact(as_array(box[dim])[used])
            box = (*box[:dim], axis, *box[dim + 1 :])
    count = int(np.count_nonzero(asked))
    if count == asked.size:
        _append(blocks, Product(start=_end(blocks), box=box))
    elif count * SPARSE >= asked.size:
        kept = np.packbits(asked.ravel(), bitorder="little")
        _append(blocks, Product(start=_end(blocks), box=box, kept=kept))
    else:
        index = np.nonzero(asked)
        rows = np.stack([as_array(a)[i] for a, i in zip(box, index, strict=True)], axis=1)
        _append(blocks, Table(start=_end(blocks), rows=rows))


def _add_left(blocks: list[Block], box: Box, asked: npt.NDArray[np.bool_] | None) -> None:
    """Append what is left of a box that is cut into very many pieces, cell by cell."""
    missing = find_outer(blocks, list(box), stand_in=False) < 0
    if asked is not None:
        missing &= asked
    index = np.nonzero(missing)
    if len(index[0]):
        rows = np.stack([as_array(a)[i] for a, i in zip(box, index, strict=True)], axis=1)
        _append(blocks, Table(start=_end(blocks), rows=rows))


def _append(blocks: list[Block], block: Block) -> None:
    """Append a block, joined to the last one where both make one.

    Tables are joined while the last is at most twice as long: as many tables stay as the number
    of runs has binary digits, however many runs come one by one.
    """
    if len(blocks) >= MANY_BLOCKS and isinstance(block, Product):
        block = _as_table(blocks[-1], block)
    while blocks:
        last = blocks[-1]
        joined: Block | None = None
        if isinstance(last, Product):
            joined = last.joined(block) if isinstance(block, Product) else None
        elif isinstance(block, Table) and len(last) <= 2 * len(block):
            joined = last.joined(block)
        if joined is None:
            break
        blocks.pop()
        block = joined
    blocks.append(block)


def _as_table(last: Block, block: Product) -> Block:
    """Return a small box as a table, unless it makes one box with the last."""
    is_joined = isinstance(last, Product) and last.joined(block) is not None
    if is_joined or block.kept is not None or len(block) > SMALL_BOX:
        return block
    cells = np.meshgrid(*[as_array(axis) for axis in block.box], indexing="ij")
    return Table(start=block.start, rows=np.stack([at.ravel() for at in cells], axis=1))


def _end(blocks: Sequence[Block]) -> int:
    return blocks[-1].start + len(blocks[-1]) if blocks else 0
