"""The last lines that this process and its children wrote to stderr, C libraries included."""

import contextlib
import os
import threading
from collections.abc import Iterator

_MOST = 32_768
_tail = bytearray()
_lock = threading.Lock()


@contextlib.contextmanager
def kept_stderr() -> Iterator[None]:
    """Pass on what is written to file descriptor 2, and remember the end of it."""
    real = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    thread = threading.Thread(target=_pass_on, args=(reading, real), daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.dup2(real, 2)
        thread.join(timeout=0.5)  # children may still hold the other end


def read_tail(longest: int) -> str:
    """Return at most so many characters of the latest lines, none cut at its beginning."""
    with _lock:
        text = bytes(_tail).decode("utf-8", "replace")
    if len(text) > longest:
        text = text[-longest:].partition("\n")[2] or text[-longest:]
    return text


def forget_tail() -> None:
    """Begin anew: what follows is another worker's."""
    with _lock:
        _tail.clear()


def _pass_on(reading: int, real: int) -> None:
    while piece := os.read(reading, 65_536):
        with _lock:
            _tail.extend(piece)
            del _tail[:-_MOST]
        with contextlib.suppress(OSError):  # whoever read it is gone
            left = memoryview(piece)
            while left:
                left = left[os.write(real, left) :]
