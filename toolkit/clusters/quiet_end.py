"""Loaded by each worker process at its start: what it does not say, for it is no news.

What it leaves unsaid is how it ends when it ends as it should, and that runs failed: who asked for
them gets the error.
"""

import logging
from typing import Any


class _ClosedByItself(logging.Filter):
    """Drops that the worker's own end took away what a thread of Dask was still waiting at.

    When a worker is let go it closes the queue by which its nanny could have told it to stop, while
    the thread that listens there may be reading: now and then this is logged, as an unexpected
    death with the traceback of a TypeError. A nanny that is gone makes itself known by an EOFError.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is something else."""
        error = record.exc_info[1] if record.exc_info else None
        is_own = isinstance(error, TypeError) or str(error) == "handle is closed"
        return not (is_own and str(record.msg) == "Worker process died unexpectedly")


class _NobodyToTell(logging.Filter):
    """Drops that a worker which has closed its connections cannot tell its nanny that it ends.

    The scheduler lets a worker go while that is about to go by itself: the one closes what the
    other is using. Dask logs it twice, with tracebacks. Both ends lead to the same.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is something else."""
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, RuntimeError) and str(error) == "ConnectionPool is closed")


class _ToldToWhoAsked(logging.Filter):
    """Drops that a value of ``sweep.lazy()`` cannot be computed because runs failed.

    Who computes it gets the error, which names a run and has its traceback. Dask logs it too, with
    all of that, in each worker and for each piece of the result. Other tasks are as they were.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is something else."""
        if not str(record.msg).startswith("Compute Failed") or not isinstance(record.args, tuple):
            return True
        return not any(str(each).startswith("RunsFailedError(") for each in record.args)


def dask_setup(worker: Any) -> None:
    """Begin; called by Dask."""
    del worker
    logging.getLogger("distributed.nanny").addFilter(_ClosedByItself())
    for name in ("distributed.worker", "tornado.application"):
        logging.getLogger(name).addFilter(_NobodyToTell())
    logging.getLogger("distributed.worker").addFilter(_ToldToWhoAsked())
