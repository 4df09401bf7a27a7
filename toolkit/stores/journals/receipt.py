"""What passes between a batch, its worker's sink and the coordinator: plain values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.stages.said import RunLog
from toolkit.stages.schema import Columns, Schema
from toolkit.stores.journals.journal import Durability


class Outcomes(Protocol):
    """What a batch hands over: ``BatchResult`` of the stages room.

    ``status``, ``seconds`` and ``peak_memory`` have the shape ``(n,)``; ``columns`` and
    ``schema`` are None where no run succeeded.
    """

    status: npt.NDArray[np.uint8]
    seconds: npt.NDArray[np.float32]
    peak_memory: npt.NDArray[np.float32]
    columns: Columns | None
    schema: Schema | None

    @property
    def errors(self) -> Sequence[Any]: ...  # noqa: D102

    @property
    def logs(self) -> Sequence[RunLog]: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class SinkSpec:
    """Where a worker writes the runs of one stage.

    Parameters
    ----------
    path
        Absolute folder of the store; None: in memory, records travel back in the receipt.
    stage
        Name of the stage.
    identity, epoch
        Of the store, and of the driver that this worker works for.
    group
        Folder of the stage's arrays in the store, ``""`` for the first stage.
    schema
        As stored; None until it is known, then only ``block`` may be used.
    chunk_length, n_runs
        Runs in a chunk, and runs in the arrays.
    durability
        ``"power"``: what is acknowledged is on the disk.
    """

    path: str | None
    stage: str
    identity: str
    epoch: int
    group: str = ""
    schema: Schema | None = None
    chunk_length: int | None = None
    n_runs: int = 0
    durability: Durability = "process"


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """Where the records of a batch are.

    Parameters
    ----------
    journal
        Name of the journal in the store; ``""`` in memory.
    offset
        Length of the journal when the receipt was made.
    records
        In memory: the records themselves.
    """

    journal: str
    offset: int
    records: bytes = b""
