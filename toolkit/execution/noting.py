"""How one start of a sweep begins and ends, in the sweep's log."""

import getpass
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.execution.chain import Chain
from toolkit.execution.start import Start
from toolkit.stores.runs.provenance import versions

_PACKAGES = ("parallel-analysis-toolkit", "numpy", "zarr", "dask", "distributed", "xarray")


def note_start(start: Start) -> None:
    """Note who starts the sweep, with which versions, and what it is to run."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""
    start.results.note(
        "sweep_started",
        user=user,
        python=platform.python_version(),
        versions=versions(_PACKAGES),
        program=sys.argv[0] if sys.argv else "",
        seed=start.seed,
        rerun=sorted(start.rerun),
        order=start.policy.order,
        stages=[{"stage": each.name, "runs": len(each.space)} for each in start.prepared.stages],
    )


@contextmanager
def note_end(start: Start, chain: Chain) -> Iterator[None]:
    """Note how the sweep ended, with an error where there was one."""
    began = time.monotonic()
    error: BaseException | None = None
    try:
        yield
    except BaseException as raised:
        error = raised
        raise
    finally:
        progress = chain.progress()
        stopped = [step.engine.stopped_because for step in chain.steps if step.engine is not None]
        note_outcome(
            start,
            done=progress.done,
            failed=progress.failed,
            blocked=progress.blocked,
            pending=progress.pending,
            began=began,
            because=next(filter(None, stopped), None) or "nothing is left",
            error=error,
        )


def note_outcome(
    start: Start,
    *,
    done: int,
    failed: int,
    blocked: int = 0,
    pending: int = 0,
    began: float,
    because: str = "nothing is left",
    error: BaseException | None,
) -> None:
    """Note how many runs ended how, since ``began`` by the monotonic clock."""
    start.results.note(
        "sweep_ended",
        done=done,
        failed=failed,
        blocked=blocked,
        pending=pending,
        seconds=round(time.monotonic() - began, 3),
        because=because,
        error=None if error is None else f"{type(error).__name__}: {error}",
    )
