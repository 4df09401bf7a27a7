"""Values with inner dims of their own, each read when its run is about to start."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt


class Sliced(Sequence[Any]):
    """What n runs receive, read from a file or made by Dask one at a time.

    A batch may have thousands of runs: their values together may be larger than memory.

    Parameters
    ----------
    read
        Returns the value at a position along each dim.
    positions
        Of the runs, one array of shape ``(n,)`` for each dim.
    """

    def __init__(
        self, read: Callable[..., Any], positions: tuple[npt.NDArray[np.int64], ...]
    ) -> None:
        self._read, self._positions = read, positions
        self._last: tuple[tuple[int, ...], Any] | None = None  # neighbors often share a value

    def __len__(self) -> int:
        return len(self._positions[0])

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> "Sliced": ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sliced(self._read, tuple(at[index] for at in self._positions))
        place = tuple(int(at[index]) for at in self._positions)
        if self._last is None or self._last[0] != place:
            self._last = None
            self._last = (place, self._read(*place))
        return self._last[1]

    def __iter__(self) -> Iterator[Any]:
        try:
            for index in range(len(self)):
                yield self[index]
        finally:
            self._last = None
