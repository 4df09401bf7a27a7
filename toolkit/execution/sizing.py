"""How many runs make a batch and a chunk: pure functions of measured times."""

from dataclasses import dataclass
from typing import Literal

MIB = 2**20
_WIDE_RUN = 64_000
_CHUNK_BYTES, _WIDE_CHUNK_BYTES = MIB // 2, 8 * MIB
_WAITING_BYTES = 32 * MIB
_CHUNK_SECONDS = 0.25
_BLOCK_BYTES = 4096  # of most file systems: smaller files take as much
_PATIENCE = 4
_CHUNKS_PER_THREAD = 8
_FEW_CHUNKS = 256
FAST_RUN = 1e-3


def batch_seconds(*, workers: int, threads: int, seconds_left: float) -> float:
    """Return how long one batch should take.

    Long enough that scheduling costs little (0.25 s, and 5 ms for each worker), short enough that
    every thread gets at least four of what is left, and never under 20 ms.

    Parameters
    ----------
    workers, threads
        Worker processes, and the threads of them all.
    seconds_left
        Estimated seconds of computing that are left, over all threads.

    Examples
    --------
    >>> batch_seconds(workers=2, threads=2, seconds_left=1000.0)
    0.25
    >>> batch_seconds(workers=2, threads=2, seconds_left=0.8)
    0.1
    """
    target = max(0.25, 0.005 * workers)
    return max(0.02, min(target, seconds_left / (4 * max(threads, 1))))


def window_size(threads: int) -> int:
    """Return how many batches are handed out at once.

    Examples
    --------
    >>> window_size(2), window_size(64)
    (8, 192)
    """
    return max(8, 3 * threads)


def room_for_choices(threads: int) -> int:
    """Return how many runs are under way at once where what ended says what comes next.

    One for each thread, and with several threads half as many again, so that none waits while
    the next is chosen.

    Examples
    --------
    >>> room_for_choices(1), room_for_choices(2), room_for_choices(64)
    (1, 3, 96)
    """
    return threads + threads // 2


@dataclass(frozen=True, kw_only=True)
class ChunkPlan:
    """Chunk length along ``run`` (a power of two), and how runs get into the chunks."""

    length: int
    mode: Literal["whole", "inline"]


def choose_chunks(
    *,
    n_runs: int,
    seconds_per_run: float,
    bytes_per_run: int,
    threads: int,
    fixed: bool,
    here: bool = False,
) -> ChunkPlan:
    """Choose the chunk length once, after the first wave.

    Whole chunks are handed to workers where runs are fast; the length is then the largest power
    of two with at most 0.5 MiB (8 MiB for wide runs), at most 0.25 s of runs, and at least 8
    chunks a thread. Elsewhere, and where that would make files below 4 KiB or over 256 small
    chunks, the chunk is as large as its bytes allow and runs go through the journal, unless such a
    chunk takes at most a second.

    Parameters
    ----------
    n_runs
        Runs to store now.
    seconds_per_run
        Measured seconds of one run.
    bytes_per_run
        Bytes of the widest output of one run.
    threads
        Threads of all workers.
    fixed
        Whether every output has one shape and dtype, so that workers may write chunks.
    here
        Whether this process runs them: few runs, of which only wide ones are worth it.

    Examples
    --------
    >>> choose_chunks(
    ...     n_runs=1_000_000, seconds_per_run=1e-6, bytes_per_run=8, threads=2, fixed=True
    ... )
    ChunkPlan(length=32768, mode='whole')
    >>> choose_chunks(
    ...     n_runs=5_000, seconds_per_run=0.01, bytes_per_run=8, threads=2, fixed=True
    ... )
    ChunkPlan(length=65536, mode='inline')
    """
    wide = bytes_per_run >= _WIDE_RUN
    by_bytes = _power_of_two((_WIDE_CHUNK_BYTES if wide else _CHUNK_BYTES) / max(bytes_per_run, 1))
    by_time = _power_of_two(
        min(
            _CHUNK_SECONDS / max(seconds_per_run, 1e-9),
            n_runs / (_CHUNKS_PER_THREAD * max(threads, 1)),
        )
    )
    length = min(by_bytes, by_time)
    fixed &= not here or (wide and n_runs >= by_bytes * _CHUNKS_PER_THREAD)
    few = n_runs / length <= _FEW_CHUNKS
    fills_a_block = length * bytes_per_run >= _BLOCK_BYTES or length == by_bytes
    if fixed and fills_a_block and seconds_per_run < FAST_RUN and (few or length == by_bytes):
        return ChunkPlan(length=length, mode="whole")
    # Ten times as much goes through the journal as straight into chunks, which a busy machine, on
    # which runs seem slower than they are, must not decide.
    is_quick = by_bytes * seconds_per_run <= _PATIENCE * _CHUNK_SECONDS
    if fixed and is_quick and n_runs >= by_bytes * _CHUNKS_PER_THREAD * threads:
        return ChunkPlan(length=by_bytes, mode="whole")
    if fixed and by_bytes == 1:
        return ChunkPlan(length=1, mode="whole")
    return ChunkPlan(length=by_bytes, mode="inline")


def runs_together(plan: ChunkPlan, *, n_runs: int, bytes_per_run: int) -> int:
    """Return how many neighboring runs are made at about the same time; 0: it does not matter.

    Where more is stored than waits in memory, runs in random order would fall into all chunks at
    all times, and each would be rewritten for every few of its runs. So whole chunks are begun,
    as many as wait in 32 MiB.

    Parameters
    ----------
    plan
        The chunk length.
    n_runs
        Runs to store now.
    bytes_per_run
        Bytes of all outputs of one run.

    Examples
    --------
    >>> runs_together(ChunkPlan(length=32, mode="inline"), n_runs=10_000, bytes_per_run=480_000)
    64
    >>> runs_together(ChunkPlan(length=65536, mode="inline"), n_runs=10_000, bytes_per_run=8)
    0
    """
    if n_runs * bytes_per_run <= _WAITING_BYTES:
        return 0
    return plan.length * max(1, _WAITING_BYTES // (plan.length * bytes_per_run))


def _power_of_two(value: float) -> int:
    return 1 << max(0, int(value).bit_length() - 1)


def light_points(seconds_per_run: float, *, runs: int, seconds: float) -> bool:
    """Whether the runs along the last dim are made in one batch, as the folds of a light point.

    Parameters
    ----------
    seconds_per_run
        As measured.
    runs
        Along the last dim.
    seconds
        How long a batch should take.

    Examples
    --------
    >>> light_points(0.02, runs=5, seconds=0.25), light_points(1.0, runs=5, seconds=0.25)
    (True, False)
    """
    return runs > 1 and FAST_RUN <= seconds_per_run <= seconds / runs
