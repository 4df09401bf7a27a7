"""What is read off processes, folders and results."""

import gc
import hashlib
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from cases import Case, Floats, Grid, grid_of
from contenders import Contender

_TIMES = 5


def tree_cpu() -> float:
    """Return the CPU seconds of this process, its children and theirs, those that ended included.

    ``/proc`` counts in steps of 10 ms, and adds those of a child that ended to its parent.
    """
    this = psutil.Process()
    total = 0.0
    for process in (this, *this.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def folder_size(folder: Path) -> tuple[int, int]:
    """Return the files and folders in a folder, the folder itself not counted, and their bytes."""
    inodes = size = 0
    for place, folders, files in os.walk(folder):
        inodes += len(folders) + len(files)
        size += sum(os.path.getsize(os.path.join(place, name)) for name in files)
    return inodes, size


def digest(values: Floats) -> str:
    """Return what is the same for two contenders only if all values are, bit for bit."""
    return hashlib.blake2b(values.tobytes(), digest_size=16).hexdigest()


def measured_run(contender: Contender, case: Case, runs: int, folder: Path) -> dict[str, Any]:
    """Run a case once, in a new folder: seconds, what lies on disk, the digest of the values."""
    grid = grid_of(case, runs)
    folder.mkdir(parents=True)
    contender.prepare(case, grid)
    gc.collect()
    cpu, started = tree_cpu(), time.perf_counter()
    outcome = contender.run(case, grid, folder)
    wall = time.perf_counter() - started
    cpu = tree_cpu() - cpu
    values = contender.values(outcome, grid)
    inodes, size = folder_size(folder)
    return {
        "wall": wall,
        "cpu": cpu,
        "digest": digest(values),
        "runs": len(values),
        "inodes": inodes,
        "bytes": size,
    }


def reading(contender: Contender, case: Case, grid: Grid, folder: Path) -> dict[str, Any]:
    """Measure how stored results are read, in a process that has not read any before.

    ``open_first`` is the first call and what it imports; ``open_warm`` the median of the next
    ones; ``select`` and ``reduce`` are medians, each on what has just been opened.
    """
    _, open_first = _timed(contender.open, folder)
    opens, selects = [], []
    for step in range(1, _TIMES + 1):
        x, y = (side[len(side) * step // (_TIMES + 1)] for side in (grid.x, grid.y))
        opened, seconds = _timed(contender.open, folder)
        opens.append(seconds)
        selected, seconds = _timed(contender.select, opened, x, y)
        selects.append(seconds)
        _check(case, x, y, selected)
    reduces = [_timed(contender.reduce, contender.open(folder))[1] for _ in range(3)]
    return {
        "open_first": open_first,
        "open_warm": statistics.median(opens),
        "select": statistics.median(selects),
        "reduce": statistics.median(reduces),
    }


def _timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    result = function(*arguments)
    return result, time.perf_counter() - started


def _check(case: Case, x: float, y: float, found: float) -> None:
    expected = case.function(x, y)
    first = expected if isinstance(expected, float) else float(expected.flat[0])
    if found != first:
        raise ValueError(f"x={x!r}, y={y!r} reads as {found!r} and is {first!r}")
