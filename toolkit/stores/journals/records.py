"""Records of a journal: the kinds there are, as bytes of a header and as values.

A record is a header of 48 bytes and a payload. The CRC32 covers all after itself. Everything is
little-endian, plain numbers, JSON and columns; nothing is pickled.
"""

import struct
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from toolkit.spaces.axis import Dim
from toolkit.stages.said import RunLog
from toolkit.stages.schema import Columns, Schema

# magic, crc, length of the payload, kind, flags, stage, attempt, epoch, n, lo, time
HEADER = struct.Struct("<4sIQBBHIIIqd")
MAGIC = b"TKR1"
SCHEMA, STARTED, BLOCK, ERRORS, LOGS, ADDED = 1, 2, 3, 4, 5, 6
IDS, PEAK, COLUMNS, IN_CHUNK, ONE_STATUS, ONE_SECONDS, ONE_PEAK = 1, 2, 4, 8, 16, 32, 64

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
StatusArray = npt.NDArray[np.uint8]


class Origin(NamedTuple):
    """Where a record stands and who wrote it: ``start`` and ``end`` are offsets in the file."""

    stage: str
    attempt: int
    epoch: int
    time: float
    start: int
    end: int


class Described(NamedTuple):
    """From here on, blocks of this stage hold these columns (none known yet: ``schema`` None)."""

    origin: Origin
    schema: Schema | None


class Started(NamedTuple):
    """A run has begun."""

    origin: Origin
    run: int


class Block(NamedTuple):
    """Outcomes of ``n`` runs: ``lo … lo + n - 1``, or ``ids`` where they are not consecutive.

    ``status`` uint8, ``seconds`` and ``peak_memory`` (bytes, None: not measured) float32, all of
    shape ``(n,)``; ``columns`` are None where the values are in the chunk or where no run of the
    block succeeded.
    """

    origin: Origin
    lo: int
    n: int
    ids: IntArray | None
    status: StatusArray
    seconds: FloatArray
    peak_memory: FloatArray | None
    columns: Columns | None
    schema: Schema | None
    in_chunk: bool

    def run_ids(self) -> IntArray:
        """Return the run ids, shape ``(n,)``."""
        return np.arange(self.lo, self.lo + self.n) if self.ids is None else self.ids


class Errors(NamedTuple):
    """Failures of runs, as the fields of ``RunFailure``."""

    origin: Origin
    failures: list[dict[str, Any]]


class Logs(NamedTuple):
    """What runs have said; see ``toolkit.stages.said.RunLog``."""

    origin: Origin
    logs: list[RunLog]


class Added(NamedTuple):
    """Runs that the store's metadata may not know yet: from id ``lo`` on, along the first dim."""

    origin: Origin
    lo: int
    dims: tuple[Dim, ...]


Record = Described | Started | Block | Errors | Logs | Added


class Stages:
    """Which stage each number of a journal stands for, with the last schema said of it."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[str, Schema | None]] = {}
