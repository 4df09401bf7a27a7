"""Ctrl-C and SIGTERM end a sweep that runs in the main thread: kindly first, then at once."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.execution.job import Job

# After SIGTERM a job queue waits for a time, SLURM for 30 s, before it kills.
GRACE_S = 20.0
_LAST_S = 2.0  # then a function that this process runs is interrupted


@contextmanager
def interruptible(job: "Job", how_to_resume: str) -> Iterator[None]:
    """Stop a job kindly at the first SIGINT or SIGTERM.

    At the second Ctrl-C, or 20 s after a SIGTERM, what still runs is given back unfinished. In
    other threads than the main one nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main = threading.get_ident()
    ended = threading.Event()
    is_late = threading.Event()
    waiting: list[threading.Thread] = []

    def on_interrupt(_signal: int, _frame: object) -> None:
        if job.was_asked_to_stop:
            job.request_stop(now=True)
            raise KeyboardInterrupt
        job.request_stop()
        sys.stderr.write(
            "\nStopping: runs in progress are finished and stored; Ctrl-C again ends them now. "
            f"{how_to_resume}\n"
        )

    def on_end_of_job(_signal: int, _frame: object) -> None:
        if is_late.is_set():
            raise KeyboardInterrupt
        job.request_stop()
        if not waiting:
            waiting.append(threading.Thread(target=lose_patience, daemon=True))
            waiting[0].start()
            sys.stderr.write(
                "\nStopping, as SIGTERM asks: runs that end within "
                f"{GRACE_S:g} s are stored. {how_to_resume}\n"
            )

    def lose_patience() -> None:
        if ended.wait(GRACE_S):
            return
        job.request_stop(now=True)
        if job.is_here and not ended.wait(_LAST_S):
            is_late.set()
            signal.pthread_kill(main, signal.SIGTERM)

    with ExitStack() as stack:
        for number, handler in ((signal.SIGINT, on_interrupt), (signal.SIGTERM, on_end_of_job)):
            stack.callback(signal.signal, number, signal.signal(number, handler))
        try:
            yield
        finally:
            ended.set()
            for each in waiting:
                each.join()
