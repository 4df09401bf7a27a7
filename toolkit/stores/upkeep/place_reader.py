"""The other process of a trial: looks at files that the first one changes.

Run as ``python -I -S place_reader.py``; each line of its input is a JSON list, the name of a
function here and its arguments, and is answered by a line of JSON.
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable

_files: dict[str, int] = {}


def size(path: str) -> int:
    """Return how many bytes can be read, -1 where the file is not there."""
    try:
        with open(path, "rb") as file:
            return len(file.read())
    except FileNotFoundError:
        return -1


def watch(path: str, length: int, times: int, end: str) -> list[int]:
    """Read a file so often, then make another one, ``end``.

    Returns how often it was not there, and how often it was neither of its versions.
    """
    missing = torn = 0
    try:
        for _ in range(times):
            try:
                with open(path, "rb") as file:
                    raw = file.read()
            except FileNotFoundError:
                missing += 1
                continue
            torn += len(raw) != length or len(set(raw)) != 1
    finally:
        create(end)
    return [missing, torn]


def signature(path: str) -> list[int]:
    """Return what ``stat`` says: inode, time of change, size."""
    found = os.stat(path)
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def create(path: str) -> bool:
    """Make a file unless there is one; say whether it was made."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def link(path: str, name: str) -> bool:
    """Give a file a second name unless it is taken; say whether it was done."""
    try:
        os.link(path, name)
    except FileExistsError:
        return False
    return True


def lock(path: str) -> bool:
    """Say whether a lock can be had."""
    fd = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


def hold(path: str) -> int:
    """Open a file and keep it open."""
    _files[path] = os.open(path, os.O_RDWR)
    return _files[path]


def names_left(path: str) -> int:
    """Return how many names a file that is held has."""
    return os.fstat(_files[path]).st_nlink


def byte(path: str, at: int) -> int:
    """Return a byte of a file."""
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(1)[0]


def main() -> None:
    """Answer until the input ends."""
    known: list[Callable[..., object]] = [
        size, watch, signature, create, link, lock, hold, names_left, byte,
    ]  # fmt: skip
    functions = {each.__name__: each for each in known}
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = (True, functions[name](*arguments))
        except OSError as error:
            answer = (False, str(error))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
