"""Results on standard output, and nothing else."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def results_apart() -> Iterator[None]:
    """Send to standard error what is printed meanwhile, by libraries and by workers too."""
    sys.stdout.flush()
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # one of the two is closed: there is nothing to part
            kept = os.dup(1)
            stack.callback(os.close, kept)
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
        yield
