"""Random streams made of the sweep's seed, the stage and the labels of a run."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolkit.spaces.axis import Dim
from toolkit.spaces.labels import hashed, mix

Words: TypeAlias = npt.NDArray[np.uint64]


class Streams:
    """The random streams of one stage over the dims of a space or store.

    The stream of a run depends on the seed, the stage and the labels of the parameters that the
    stage uses, and on nothing else: not on the order of the dims, the batch, what is added to the
    space later, or whether a parameter is an axis, a constant or a column of a table.

    Parameters
    ----------
    seed
        The sweep's seed, an integer.
    stage_name
        The stage.
    dims
        The dims along which positions are given.
    uses
        Names of the parameters that count (for a field, the names of its dims); None for all.
        Where one of the dims in use holds common replicates, only replicates count.
    """

    def __init__(
        self, seed: int, stage_name: str, dims: Sequence[Dim], uses: Iterable[str] | None = None
    ) -> None:
        self.seed = int(seed)
        self.stage_name = stage_name
        self.dims = tuple(dims)
        self.uses = None if uses is None else frozenset(uses)
        self._tables: list[Words | None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the tables out: they are made again where they are used."""
        return {**self.__dict__, "_tables": None}

    def entropy(self, positions: Sequence[npt.NDArray[np.int64]]) -> Words:
        """Return what each run's streams are made of.

        Parameters
        ----------
        positions
            One array of shape ``(n,)`` per dim; -1 where its parameter does not matter.

        Returns
        -------
        ndarray
            Shape ``(n, 2)``: two words of 64 bits a run.
        """
        if self._tables is None:
            self._tables = self._make_tables()
        count = len(positions[0]) if positions else 1
        total = np.zeros((count, 2), dtype=np.uint64)
        for table, at in zip(self._tables, positions, strict=True):
            if table is not None:
                total += table.take(at, axis=0, mode="wrap")
        total += np.array(hashed("streams", str(self.seed), self.stage_name), dtype=np.uint64)
        first = mix(total[:, 0])
        return np.stack([first, mix(total[:, 1] ^ first)], axis=-1)

    def run_seeds(self, positions: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """Return an integer seed per run, shape ``(n,)``, from 0 to 2**63 - 1."""
        words = self.entropy(positions)
        return (mix(words[:, 0] + (words[:, 1] << np.uint64(1))) >> np.uint64(1)).astype(np.int64)

    def rng(self, entropy_row: Words) -> np.random.Generator:
        """Return the generator of the run with this row of ``entropy``."""
        high, low = (int(word) for word in entropy_row)
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(high << 64 | low)))

    def _make_tables(self) -> list[Words | None]:
        dims = [dim if self._counts(dim) else None for dim in self.dims]
        common = any(dim is not None and dim.common for dim in dims)
        # The row of zeros at the end is what position -1 finds.
        end = np.zeros((1, 2), dtype=np.uint64)
        return [
            None
            if dim is None or (common and dim.kind != "replicates")
            else np.concatenate([dim.digests(self.uses), end])
            for dim in dims
        ]

    def _counts(self, dim: Dim) -> bool:
        return (
            self.uses is None
            or dim.name in self.uses
            or any(c.name in self.uses for c in dim.columns)
        )
