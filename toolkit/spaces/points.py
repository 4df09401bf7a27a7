"""The runs of a space as cells of a product, without a table of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Integers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Points:
    """The runs of a space, numbered from 0 in the order of their cells.

    Parameters
    ----------
    shape
        Sizes of all dims of the space, constants included.
    cells
        None where every cell of the product is a run; else the flat (C order) number of the cell
        of each run, ascending, shape ``(n_runs,)``.
    inactive
        By number of the dim: whether its parameter does not matter in a run, shape ``(n_runs,)``.
        The position in ``cells`` is 0 there.
    owners
        Which run stands for each cell, shape ``(n_cells,)``, -1 where none does; None where each
        run stands for its own cell only.
    """

    shape: tuple[int, ...]
    cells: Integers | None = None
    inactive: Mapping[int, npt.NDArray[np.bool_]] = field(default_factory=dict)
    owners: Integers | None = None

    def __len__(self) -> int:
        """Return the number of runs."""
        return math.prod(self.shape) if self.cells is None else len(self.cells)

    @cached_property
    def owner(self) -> Integers | None:
        """The run of each cell, shape ``(n_cells,)``, -1 for none; None where cell i is run i."""
        if self.cells is None or self.owners is not None:
            return self.owners
        owner = np.full(math.prod(self.shape), -1, dtype=np.int64)
        owner[self.cells] = np.arange(len(self.cells))
        return owner

    def positions(self, runs: npt.ArrayLike | slice) -> tuple[Integers, ...]:
        """Return where runs lie along each dim of the space.

        Parameters
        ----------
        runs
            Numbers of runs, shape ``(n,)``, or a slice.

        Returns
        -------
        tuple of ndarray
            One per dim, shape ``(n,)``; -1 where the parameter of that dim does not matter.

        Examples
        --------
        >>> [p.tolist() for p in Points((2, 3)).positions([0, 4])]
        [[0, 1], [0, 1]]
        """
        numbers = (
            np.arange(len(self))[runs]
            if isinstance(runs, slice)
            else np.asarray(runs, dtype=np.int64)
        )
        cells = numbers if self.cells is None else self.cells[numbers]
        wide = [number for number, size in enumerate(self.shape) if size != 1]
        found: list[Integers] = [np.zeros(cells.shape, dtype=np.int64)] * len(self.shape)
        if wide:
            parts = np.unravel_index(cells, tuple(self.shape[number] for number in wide))
            for number, part in zip(wide, parts, strict=True):
                found[number] = part
        for number, off in self.inactive.items():
            found[number] = np.where(off[numbers], -1, found[number])
        return tuple(found)
