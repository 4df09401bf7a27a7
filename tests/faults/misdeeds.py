"""What runs do that should not: each takes what a good run would return."""

import ctypes
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np


class Nothing(BaseException):
    """Derives from no Exception."""


class LockedError(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class UnprintableError(Exception):
    """Fails again where it is told."""

    def __str__(self) -> str:
        raise ValueError("cannot be told")

    __repr__ = __str__

    def __reduce__(self) -> Any:
        raise ValueError("cannot be pickled")


def _raise(error: BaseException) -> Any:
    raise error


def _eat(found: Any) -> Any:
    eaten = []
    for _ in range(4000):
        eaten.append(np.ones(1 << 20))  # 8 MB
        time.sleep(0.01)
    return found


def _print(found: Any) -> Any:
    for _ in range(64):
        sys.stdout.write("x" * 65_535 + "\n")
        sys.stderr.write("y" * 65_535 + "\n")
    return found


def _hang(found: Any) -> Any:
    while True:
        time.sleep(60)


MISDEEDS: dict[str, Callable[[Any], Any]] = {
    "segfault": lambda _: ctypes.string_at(0),
    "exit": lambda _: os._exit(3),
    "none": lambda _: None,
    "text": lambda _: "text",
    "shape": lambda found: found | {"curve": np.zeros(7)},
    "names": lambda found: found | {"more": 1.0},
    "object": lambda found: found | {"score": object()},
    "base": lambda _: _raise(Nothing("out of the ordinary")),
    "interrupt": lambda _: _raise(KeyboardInterrupt()),
    "leave": lambda _: sys.exit(4),
    "unpicklable": lambda _: _raise(LockedError()),
    "unprintable": lambda _: _raise(UnprintableError()),
    "print": _print,
    "eat": _eat,
    "leak": lambda found: found,
    "hang": _hang,
}
