"""What travels between the driver and a worker for one batch, and what the batch needs there."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toolkit.spaces.seeds import Streams
from toolkit.stages.call import StageCall
from toolkit.stages.cell_source import Sources
from toolkit.stages.current import RunContext
from toolkit.stages.needs import Needs
from toolkit.stores.catalogues.catalogue import Catalogue
from toolkit.stores.journals.receipt import Receipt, SinkSpec
from toolkit.stores.upstream import Input


@dataclass(frozen=True, kw_only=True)
class BatchSpec:
    """What all batches of a stage share; reaches each worker once, under its token."""

    token: str
    call: StageCall
    catalogue: Catalogue
    streams: Streams
    sink: SinkSpec
    context: RunContext
    inputs: tuple[Input, ...] = ()
    measure_memory: bool = True
    walltime: Needs | None = None
    sources: Sources = ()  # of cells of a notebook


class BatchTask(NamedTuple):
    """The runs of one batch. Small: it is what each task of the graph carries."""

    token: str
    lo: int  # the runs are lo..hi-1, or those of `runs`
    hi: int
    runs: bytes | None  # run ids as int64, None for lo..hi-1
    whole: bool  # lo..hi-1 are whole chunks that no other batch touches
    attempt: int
    seconds: float  # how long the batch should take; at 3 x that it hands back the rest
    expected: float  # seconds of one run, 0 where unknown
    first_wave: bool
    careful: bool = False  # each run is recorded by itself: one of them may kill its worker
    tier: int = 0  # of the workers that it is for
    insists: bool = True  # a worker whose job does not last long enough for it is to leave

    @property
    def n_runs(self) -> int:
        """How many runs it holds."""
        return self.hi - self.lo if self.runs is None else len(self.runs) // 8

    @property
    def first(self) -> int:
        """The run that is run first."""
        return self.lo if self.runs is None else int(np.frombuffer(self.runs, np.int64, 1)[0])

    def run_ids(self) -> NDArray[np.int64]:
        """Run ids in the order in which they are run, shape ``(n_runs,)``."""
        if self.runs is None:
            return np.arange(self.lo, self.hi)
        return np.frombuffer(self.runs, np.int64)

    def of_runs(self, ids: NDArray[np.int64]) -> "BatchTask":
        """Return the same batch with these runs and no others."""
        runs = np.ascontiguousarray(ids, np.int64).tobytes()
        return self._replace(lo=0, hi=0, runs=runs, whole=False)


@dataclass(frozen=True, kw_only=True)
class BatchSummary:
    """What a worker says of a batch; the data itself is in the journal or in chunks."""

    receipt: Receipt
    begun: int  # how many of the batch's runs were run, in its order; the rest is handed back
    done: int
    failed: int
    run_seconds: float  # spent inside runs
    wall_seconds: float
    seconds_per_run: float  # of the latest runs
    global_draws: tuple[str, ...] = field(default=())
    worn: str = (
        ""  # the worker, where runs have left so much memory behind that it is to be renewed
    )
    leaves: str = ""  # the worker, where the end of its job is near
    wanted: int = 0  # how many runs the next batch of a vectorized stage should hold at least


def unbegun(task: BatchTask) -> BatchSummary:
    """Return the summary of a batch that is handed back as it is."""
    return BatchSummary(
        receipt=Receipt(journal="", offset=0),
        begun=0,
        done=0,
        failed=0,
        run_seconds=0.0,
        wall_seconds=0.0,
        seconds_per_run=task.expected,
    )
