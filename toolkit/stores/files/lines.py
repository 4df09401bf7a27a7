"""JSON lines in a file that one process appends to, bounded: the oldest lines give way."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from toolkit.errors import StoreError
from toolkit.stores.files.inside import open_plain
from toolkit.stores.files.storage import reported

_LONGEST = 1 << 24  # bytes of a line; what is longer is read in parts, which are no JSON
_LARGEST = 1 << 27  # bytes of a file


class Lines:
    """A file of JSON objects, one a line, and the ones before it.

    When the file is full it becomes the older one, and the oldest is deleted. A line that a crash
    left torn is skipped by readers and ended by the next writer.

    Parameters
    ----------
    store
        Folder of the store, named where something goes wrong.
    key
        Path of the file in the store; those before it are ``KEY.1``, ``KEY.2`` and so on.
    most_bytes
        Of one file.
    files
        How many there are at most.
    """

    def __init__(self, store: str, key: str, *, most_bytes: int, files: int = 2) -> None:
        self._store = store
        self._path = os.path.join(store, key)
        self._most_bytes, self._files = most_bytes, files

    def append(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Append lines with one write.

        Raises
        ------
        StoreError
            If they cannot be written.
        """
        raw = b"".join(json.dumps(each).encode() + b"\n" for each in documents)
        if not raw:
            return
        with reported(self._store):
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            fd = open_plain(self._path, flags)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    raw = b"\n" + raw
                view = memoryview(raw)
                while len(view):
                    view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
            if size + len(raw) > self._most_bytes:
                self._rotate()

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield the lines, the oldest first; what is no JSON object is skipped."""
        for path in self._paths():
            try:
                # Opened at once: a file that is rotated away meanwhile is read to its end.
                with (
                    reported(self._store),
                    open(path, "rb", opener=open_plain) as file,
                ):
                    # Of a file that no writer of ours has let grow so large, the end is read.
                    file.seek(max(0, os.fstat(file.fileno()).st_size - _LARGEST))
                    while raw := file.readline(_LONGEST):
                        if not raw.startswith(b"{"):
                            continue
                        with contextlib.suppress(ValueError, RecursionError):
                            line = json.loads(raw)
                            if isinstance(line, dict):
                                yield line
            except StoreError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise

    def _paths(self) -> list[str]:
        """Return the files, the oldest first."""
        return [f"{self._path}.{n}" for n in range(self._files - 1, 0, -1)] + [self._path]

    def _rotate(self) -> None:
        paths = self._paths()
        for older, newer in pairwise(paths):
            with contextlib.suppress(FileNotFoundError):
                os.replace(newer, older)
