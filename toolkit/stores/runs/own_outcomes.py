"""Outcomes that this process has just put into its own journal, and need not read there again."""

from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import RaggedColumn, Schema
from toolkit.stores.journals.receipt import Outcomes, Receipt
from toolkit.stores.journals.records import Block, Origin

Ids = npt.NDArray[np.int64]

_MOST_BYTES = 8 << 20  # of outcomes that are held until they are taken
_BYTES_PER_RUN = 16


class OwnOutcomes:
    """Holds them as one block, where a journal would give the same.

    These are plain numbers of one schema, of consecutive runs none of which failed or said
    something, written one after the other into one journal. All else is to be read there.
    """

    def __init__(self) -> None:
        self._begins = self._receipt = Receipt(journal="", offset=0)
        self._is_whole = False
        self._said: Schema | None = None  # by the journal, as far as it was read
        self._next = -1
        self._nbytes = 0
        self._held: list[tuple[Ids, Outcomes, list[npt.NDArray[Any]]]] = []

    def add(self, ids: Ids, result: Outcomes, receipt: Receipt) -> None:
        """Note what was written.

        Parameters
        ----------
        ids
            Of the runs, shape ``(n,)``.
        result
            Their outcomes: values are copied, for a function may use its arrays again.
        receipt
            Up to where the journal is written by now.
        """
        follows = receipt.journal == self._receipt.journal
        self._receipt = receipt
        if result.schema is not self._said and result.schema != self._said:
            self._said = result.schema
            self._is_whole = False  # what describes the columns is to be read
        columns = _plain(result) if self._is_whole else None
        is_next = self._next in (-1, int(ids[0])) and bool((ids[1:] - ids[:-1] == 1).all())
        if columns is None or not is_next or not follows or self._nbytes > _MOST_BYTES:
            self._is_whole = False
            self._held.clear()
            return
        self._next = int(ids[-1]) + 1
        self._held.append((ids, result, columns))
        self._nbytes += _BYTES_PER_RUN * len(ids) + sum(each.nbytes for each in columns)

    def take(self, stage: str, epoch: int, time: float) -> tuple[str, Block] | None:
        """Return the journal and one block of all since the last call; None: it is to be read.

        Parameters
        ----------
        stage
            Its name.
        epoch
            Of this driver's turn.
        time
            In seconds since 1970.
        """
        held, is_whole, begins = self._held, self._is_whole, self._begins
        self._begins, self._held, self._is_whole = self._receipt, [], True
        self._next, self._nbytes = -1, 0
        if not held or not is_whole:
            return None
        return begins.journal, Block(
            origin=Origin(stage, 1, epoch, time, begins.offset, self._receipt.offset),
            lo=int(held[0][0][0]),
            n=sum(len(ids) for ids, _, _ in held),
            ids=None,
            status=np.concatenate([result.status for _, result, _ in held]),
            seconds=np.concatenate([result.seconds for _, result, _ in held]),
            peak_memory=np.concatenate([result.peak_memory for _, result, _ in held]),
            columns=[
                np.concatenate(parts)
                for parts in zip(*(columns for _, _, columns in held), strict=True)
            ],
            schema=self._said,
            in_chunk=False,
        )


def _plain(result: Outcomes) -> list[npt.NDArray[Any]] | None:
    """Return copies of the columns, None where they are no plain numbers of runs that did well."""
    schema: Schema | None = result.schema
    if result.errors or result.logs or result.columns is None or schema is None:
        return None
    if not schema.is_fixed:
        return None
    columns = []
    for column in result.columns:
        if isinstance(column, RaggedColumn):
            return None
        columns.append(column.copy())
    return columns
