"""Who runs in the benchmarks: what each does with a grid, and how its results are read again."""

import multiprocessing
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from cases import WORKERS, Case, Floats, Grid

MB = 1e6


class Contender(ABC):
    """One way to run a function over a grid; imports its library where it is first used."""

    stores = True  # whether there is something to read afterwards

    def start(self) -> None:  # noqa: B027 - nothing to start, where a library has no workers
        """Start the workers."""

    def stop(self) -> None:  # noqa: B027
        """Stop them."""

    @abstractmethod
    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        """Run all points; results in memory, or an object that reads them."""

    def values(self, outcome: Any, grid: Grid) -> Floats:
        """Return what :meth:`run` returned as floats in the order of the points, not timed."""
        return np.asarray(outcome, dtype=np.float64)

    def prepare(self, case: Case, grid: Grid) -> None:  # noqa: B027
        """Make what the library is given, not timed."""

    def growth(self, case: Case, grid: Grid, folder: Path) -> float | None:
        """Run once more; return how much this process grew after the first runs, in MB."""
        return None

    def open(self, folder: Path) -> Any:
        """Open stored results."""
        raise NotImplementedError

    def select(self, opened: Any, x: float, y: float) -> float:
        """Read one value by its labels (the first, where there are several)."""
        return float(np.asarray(opened["value"].sel(x=x, y=y)).flat[0])

    def reduce(self, opened: Any) -> float:
        """Read all values for their mean."""
        return float(np.mean(np.asarray(opened["value"], dtype=np.float64)))


class Pool(Contender):
    """``multiprocessing.Pool.map``: the measure of the others. Stores nothing."""

    stores = False

    def start(self) -> None:
        self._pool = multiprocessing.get_context("fork").Pool(WORKERS)

    def stop(self) -> None:
        self._pool.terminate()
        self._pool.join()

    def prepare(self, case: Case, grid: Grid) -> None:
        self._items: list[Any] = grid.points()

    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        chunk = max(1, len(self._items) // (32 * WORKERS))
        return self._pool.map(self._function(case), self._items, chunksize=chunk)

    def _function(self, case: Case) -> Callable[..., Any]:
        return case.function_at


class PoolOfOneFloat(Pool):
    """``Pool.map`` of a function of one float, the cheapest thing that it can be given."""

    def prepare(self, case: Case, grid: Grid) -> None:
        self._items = [x * y for x, y in grid.points()]

    def _function(self, case: Case) -> Callable[..., Any]:
        from functions import trivial_of_one

        return trivial_of_one

    def values(self, outcome: Any, grid: Grid) -> Floats:
        y = np.array(grid.y)
        return np.add.outer(np.array(grid.x), y).ravel()  # another function: nothing to compare


class PoolOfBlocks(Pool):
    """``Pool.map`` of a vectorized function, cut into blocks by hand."""

    def prepare(self, case: Case, grid: Grid) -> None:
        points = np.array(grid.points())
        parts = np.array_split(points, 32 * WORKERS)
        self._items = [(part[:, 0].copy(), part[:, 1].copy()) for part in parts]

    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        from functions import trivial_block

        return np.concatenate(self._pool.map(trivial_block, self._items, chunksize=1))


class Toolkit(Contender):
    """This package, on a local cluster of one-thread workers that is already there."""

    def start(self) -> None:
        import toolkit as tk

        self._cluster = tk.cluster("local", workers=WORKERS, threads=1)
        self._cluster.__enter__()

    def stop(self) -> None:
        self._cluster.close()

    def run(self, case: Case, grid: Grid, folder: Path) -> Any:
        return self._sweep(case, grid, folder).run(self._cluster, progress=False)

    def values(self, outcome: Any, grid: Grid) -> Floats:
        values = np.asarray(outcome["value"].transpose("x", "y", ...), dtype=np.float64)
        return values.reshape(len(grid), *values.shape[2:])

    def growth(self, case: Case, grid: Grid, folder: Path) -> float | None:
        # What libraries are imported for a first dataset is not growth by runs.
        small = Grid(x=grid.x[:2], y=grid.y[:2])
        (folder / "small").mkdir()
        float(self.run(case, small, folder / "small")["value"].sum())
        with _largest_memory() as largest:
            job = self._sweep(case, grid, folder).start(self._cluster)
            while not job.progress.done and not job.progress.failed:
                time.sleep(0.001)
            before = psutil.Process().memory_info().rss
            job.result()
        return (max(largest) - before) / MB

    def open(self, folder: Path) -> Any:
        import toolkit as tk

        return tk.open(folder / "value.zarr")

    def _sweep(self, case: Case, grid: Grid, folder: Path) -> Any:
        import toolkit as tk

        stage = tk.stage(case.function, name="value", vectorized=case.vectorized)
        return tk.Sweep(stage, tk.grid(x=grid.x, y=grid.y), store=folder / "value.zarr")


class ToolkitHere(Toolkit):
    """This package without a cluster: short sweeps run in the calling process."""

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    _cluster = None


@contextmanager
def _largest_memory() -> Iterator[list[int]]:
    """Note this process's memory every 10 ms, in bytes."""
    process, noted, is_over = psutil.Process(), [0], threading.Event()

    def watch() -> None:
        while not is_over.wait(0.01):
            noted.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield noted
    finally:
        noted.append(process.memory_info().rss)
        is_over.set()
        thread.join()
