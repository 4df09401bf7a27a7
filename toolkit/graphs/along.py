"""The dims of a layer as arithmetic: which positions in which blocks, nothing for each run."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

BLOCKS = 1_000
"""About so many blocks where nobody knows how long a run takes."""
MOST_BLOCKS = 100_000
_MOST_UNKNOWN = 4 * BLOCKS
_BLOCK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Along:
    """One dim of a layer.

    Parameters
    ----------
    name
        The dim.
    size
        Number of positions.
    length
        Positions in a block; the last block may be shorter.
    chosen
        Index along the Dataset's dim of each position, shape ``(size,)``; None for all of them.
    """

    name: str
    size: int
    length: int
    chosen: Ints | None = None

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return -(-self.size // self.length)

    def bounds(self, block: int) -> tuple[int, int]:
        """Return the first position of a block, and the first one after it."""
        first = block * self.length
        return first, min(first + self.length, self.size)

    def indices(self, block: int | None = None) -> Ints:
        """Return the indices along the Dataset's dim of a block, or of the whole layer."""
        first, last = (0, self.size) if block is None else self.bounds(block)
        if self.chosen is None:
            return np.arange(first, last)
        return self.chosen[first:last]

    def cut(self, positions: Ints) -> "Along":
        """Return the dim at some positions only, in blocks of the same length."""
        return replace(self, size=len(positions), chosen=self.indices()[positions])

    def identity(self) -> bytes:
        """Return what tells it from other cuts of the same dim."""
        chosen = b"" if self.chosen is None else self.chosen.tobytes()
        return f"{self.name} {self.size} {self.length} ".encode() + chosen


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """The part of a layer's dim that a variable shows: whole blocks, the outer ones trimmed.

    Parameters
    ----------
    along
        The dim of the layer.
    start, stop
        Positions that are shown; ``stop`` is above ``start``.
    hidden
        Whether the one position is shown without a dim.
    """

    along: Along
    start: int
    stop: int
    hidden: bool = False

    @classmethod
    def whole(cls, along: Along) -> "Window":
        """Return the window that shows all of a dim."""
        return cls(along=along, start=0, stop=along.size)

    @property
    def size(self) -> int:
        """Number of positions shown."""
        return self.stop - self.start

    @property
    def first_block(self) -> int:
        """Number of the first block that is shown."""
        return self.start // self.along.length

    @property
    def n_blocks(self) -> int:
        """Number of blocks that are shown."""
        return -(-self.stop // self.along.length) - self.first_block

    @property
    def chunks(self) -> tuple[int, ...]:
        """Number of positions shown of each block."""
        return tuple(stop - start for start, stop in map(self.trim, range(self.n_blocks)))

    def trim(self, number: int) -> tuple[int, int]:
        """Return which positions are shown of the block with this number among those shown."""
        first, last = self.along.bounds(self.first_block + number)
        return max(self.start - first, 0), min(self.stop, last) - first

    def at(self, index: int) -> "Window":
        """Return the window on one position, without a dim."""
        if self.along.length == 1:
            start = self.start + index
            return replace(self, start=start, stop=start + 1, hidden=True)
        one = self.along.cut(np.array([self.start + index]))
        return replace(Window.whole(one), hidden=True)

    def between(self, start: int, stop: int) -> "Window":
        """Return a smaller window on the same blocks."""
        return replace(self, start=self.start + start, stop=self.start + stop)

    def among(self, indices: Ints) -> "Window | None":
        """Return the window on some positions; None where their blocks hold no others."""
        positions = self.start + indices
        if len(np.unique(positions)) < len(positions):
            return None
        touched = np.unique(positions // self.along.length)
        firsts = touched * self.along.length
        held = np.minimum(firsts + self.along.length, self.along.size) - firsts
        if int(held.sum()) <= len(positions):
            return None
        return Window.whole(self.along.cut(positions))

    def identity(self) -> bytes:
        """Return what tells it from other windows on the same layer."""
        return f"{self.along.name} {self.start} {self.stop} {self.hidden} ".encode()


def block_lengths(
    sizes: Mapping[str, int],
    stages: Sequence[tuple[Collection[str], float | None]],
    *,
    together: Collection[str] = (),
) -> dict[str, int]:
    """Return how many positions a block has along each dim: halved until there are enough blocks.

    All stages share the edges, so that the blocks of one nest in those of another.

    Parameters
    ----------
    sizes
        Of the dims.
    stages
        Of each stage its dims, and the seconds of one run, None where nobody knows.
    together
        Dims that are not divided.

    Examples
    --------
    >>> block_lengths({"x": 10, "y": 10**6}, [(["x", "y"], None)])
    {'x': 10, 'y': 977}
    >>> block_lengths({"x": 10, "y": 10**6}, [(["x"], None), (["x", "y"], None)])
    {'x': 1, 'y': 7813}
    """
    parts = dict.fromkeys(sizes, 1)
    wanted = [_wanted(math.prod(sizes[name] for name in dims), each) for dims, each in stages]
    most = min(MOST_BLOCKS, max([_MOST_UNKNOWN, *(2 * count for count in wanted)]))

    def length(name: str) -> int:
        return -(-sizes[name] // parts[name])

    def blocks(dims: Collection[str]) -> int:
        return math.prod(-(-sizes[name] // length(name)) for name in dims)

    def divided(name: str) -> bool:
        before, parts[name] = parts[name], min(2 * parts[name], sizes[name])
        if all(blocks(dims) <= most for dims, _ in stages):
            return True
        parts[name] = before
        return False

    for (dims, _), count in sorted(
        zip(stages, wanted, strict=True),
        key=lambda one: math.prod(sizes[name] for name in one[0][0]),
    ):
        left = [name for name in dims if name not in together]
        while blocks(dims) < count:
            left = [name for name in left if length(name) > 1]
            if not left:
                break
            longest = max(left, key=length)
            if not divided(longest):
                left.remove(longest)
    return {name: length(name) for name in sizes}


def _wanted(n_runs: int, seconds: float | None) -> int:
    if seconds is None:
        return min(n_runs, BLOCKS)
    return max(1, min(n_runs, MOST_BLOCKS, math.ceil(n_runs * seconds / _BLOCK_SECONDS)))
