"""The sweeps that are disturbed, and what they return when nothing disturbs them."""

import functools
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import misdeeds
import numpy as np

import toolkit as tk

SEED = 3
KINDS = ("slow", "fast", "wide")
SLOW_X, SLOW_TRIALS = 40, 4
FAST_X, FAST_Y = 80, 120
WIDE_X, WIDE_LENGTH = 24, 140_000


def note(calls: str, run: str) -> None:
    """Append a line to the file of calls, in one system call: the run, the process, the time.

    The end of the line before comes first: a kill may leave half of that.
    """
    fd = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(fd, f"\n{run} {os.getpid()} {time.monotonic_ns() // 1000}".encode())
    finally:
        os.close(fd)


def slow(calls: str) -> Callable[..., Any]:
    """Return a function of over 1 ms: each of its runs is journalled by itself."""

    def measure(x: int, trial: int, rng: np.random.Generator) -> dict[str, Any]:
        note(calls, f"{x} {trial}")
        time.sleep(0.003)
        return {"score": rng.normal() + x, "curve": rng.random(3)}

    return measure


def fast(calls: str) -> Callable[..., Any]:
    """Return a function of microseconds: workers write whole chunks of its runs."""

    def measure(x: int, trial: int) -> dict[str, float]:
        note(calls, f"{x} {trial}")
        return {"score": math.sin(x + 0.01 * trial), "n": x * 1000 + trial}

    return measure


def wide(calls: str) -> Callable[..., Any]:
    """Return a function of over 1 MB a run: a thread of its own writes while others run."""

    def measure(x: int, trial: int, rng: np.random.Generator) -> dict[str, Any]:
        note(calls, f"{x} {trial}")
        return {"score": float(x), "field": rng.random(WIDE_LENGTH)}

    return measure


FUNCTIONS = {"slow": slow, "fast": fast, "wide": wide}


def spaces(kind: str) -> list[Any]:
    """Return the first part of the space, and all of it."""
    n, m = {"slow": (SLOW_X, SLOW_TRIALS), "fast": (FAST_X, FAST_Y), "wide": (WIDE_X, 1)}[kind]
    trials = range(m) if kind == "fast" else tk.replicates(m)
    return [tk.grid(x=range(upto), trial=trials) for upto in (n // 2, n)]


def sweep(
    kind: str, store: Path, calls: Path, part: int = 1, bad: dict[str, Any] | None = None
) -> tk.Sweep:
    """Return the sweep over a part of the space (0) or all of it (1).

    ``bad`` says ``what`` the runs of some ``ids`` do instead of what they should.
    """
    function: Any = FUNCTIONS[kind](str(calls))
    if bad is not None:
        walltime = tk.Resources(walltime=1.0) if bad["what"] == "hang" else None
        function = tk.stage(
            misbehaving(function, bad["what"], frozenset(bad["ids"])),
            name="measure",
            max_attempts=2,
            resources=walltime,
        )
    return tk.Sweep(function, spaces(kind)[part], store=store, seed=SEED)


def misbehaving(function: Callable[..., Any], what: str, ids: frozenset[int]) -> Callable[..., Any]:
    """Return the function that does something else in some runs."""

    def measure(x: int, trial: int, rng: np.random.Generator) -> Any:
        found = function(x, trial, rng)
        if what == "leak":
            _leaked.append(bytearray(b"x" * (4 << 20)))
        return misdeeds.MISDEEDS[what](found) if x * SLOW_TRIALS + trial in ids else found

    return measure


_leaked: list[bytearray] = []


@functools.cache
def reference(kind: str, folder: Path) -> Any:
    """Return the dataset of an undisturbed sweep, made in this process."""
    store = folder / f"reference-{kind}.zarr"
    return sweep(kind, store, folder / f"reference-{kind}.calls").run(progress=False).load()


def n_runs(kind: str) -> int:
    """Return how many runs the whole space has."""
    return len(spaces(kind)[1])
