"""Results of a run each, beside what is written by hand: HDF5 groups, netCDF files, sqlite, pypet.

Run as ``python tests/benchmarks/trees.py``. One process calls one function for every run and keeps
what it returns: as a group of an HDF5 tree (h5py), a netCDF file a run, a row of sqlite, a row of a
memory-mapped array, and as a sweep with a store. Small results, results in deep groups, and arrays
of 1 MB. Then all are opened anew and the mean over the runs is taken. pypet has an environment of
its own, for it needs an older NumPy.
"""

import argparse
import functools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from measure import folder_size

import toolkit as tk

Values = dict[str, Any]

PYPET = ("pypet==0.6.1", "numpy<1.24", "pandas<2", "tables<3.9", "scipy<1.12", "setuptools")
LESS_CPU, FASTER_REDUCE, PYPET_CPU = 10, 20, 50  # targets of the small case: how many times
GROUPS = [
    f"{area}.{layer}.{measure}"
    for area in ("v1", "v2")
    for layer in ("l4", "l5")
    for measure in ("rate", "cv", "synchrony")
]


def small(x: float, y: float) -> Values:
    """Return one number."""
    return {"value": x * y}


def deep(x: float, y: float) -> Values:
    """Return numbers whose names are paths."""
    return {name: x * y + place for place, name in enumerate(GROUPS)}


def large(x: float, y: float) -> Values:
    """Return an array of 1 MB that compresses badly."""
    return {"value": noise() * (1 + x) + y}


@functools.cache
def noise() -> Any:
    """Return 1 MB of noise, made once in each process."""
    return np.random.default_rng(0).normal(size=131_072)


CASES: dict[str, tuple[Callable[[float, float], Values], int]] = {
    "small": (small, 20_000),
    "deep": (deep, 2_000),
    "large": (large, 100),
}
SLOW = {"netCDF": 500}  # gets fewer runs, and what it takes is multiplied


def points(n: int) -> Iterator[tuple[int, float, float]]:
    """Yield number and parameters of each run."""
    for run in range(n):
        yield run, float(run // 10), float(run % 10)


class Toolkit:
    """A sweep in this process."""

    def write(self, function: Callable[..., Values], n: int, folder: Path) -> None:
        stage = tk.stage(function, name="runs", outputs=list(function(1.0, 1.0)))
        space = tk.grid(x=np.arange(n / 10), y=np.arange(10.0))
        tk.Sweep(stage, space, store=folder / "runs.zarr").run(progress=False)

    def read(self, names: list[str], n: int, folder: Path) -> float:
        del n
        data = tk.open(folder / "runs.zarr")
        return float(sum(data[name].mean() for name in names))


class Groups:
    """An HDF5 file with a group for each run, and groups in it where names have dots."""

    def write(self, function: Callable[..., Values], n: int, folder: Path) -> None:
        with h5py.File(folder / "runs.h5", "w") as file:
            for run, x, y in points(n):
                group = file.create_group(f"runs/run_{run:08d}")
                group.attrs["x"], group.attrs["y"] = x, y
                for name, value in function(x, y).items():
                    group.create_dataset(name.replace(".", "/"), data=value)

    def read(self, names: list[str], n: int, folder: Path) -> float:
        paths, total = [name.replace(".", "/") for name in names], 0.0
        with h5py.File(folder / "runs.h5") as file:
            for group in file["runs"].values():
                total += sum(float(np.mean(group[path][()])) for path in paths)
        return total / n


class Files:
    """A netCDF file for each run."""

    def write(self, function: Callable[..., Values], n: int, folder: Path) -> None:
        import netCDF4

        for run, x, y in points(n):
            with netCDF4.Dataset(folder / f"run_{run:08d}.nc", "w") as file:
                file.x, file.y = x, y
                for name, value in function(x, y).items():
                    dims: tuple[str, ...] = ()
                    if np.ndim(value):
                        file.createDimension("t", len(value))
                        dims = ("t",)
                    file.createVariable(name, "f8", dims)[...] = value

    def read(self, names: list[str], n: int, folder: Path) -> float:
        import netCDF4

        total = 0.0
        for run in range(n):
            with netCDF4.Dataset(folder / f"run_{run:08d}.nc") as file:
                total += sum(float(np.mean(file[name][...])) for name in names)
        return total / n


class Rows:
    """A row of sqlite for each run, committed every 100 runs."""

    def write(self, function: Callable[..., Values], n: int, folder: Path) -> None:
        base = sqlite3.connect(folder / "runs.sqlite")
        base.execute("PRAGMA journal_mode=WAL")
        names = list(function(1.0, 1.0))
        columns = ", ".join(f'"{name}"' for name in names)
        base.execute(f"CREATE TABLE runs (run INTEGER PRIMARY KEY, x REAL, y REAL, {columns})")
        insert = f"INSERT INTO runs VALUES (?, ?, ?, {', '.join('?' * len(names))})"
        for run, x, y in points(n):
            values = function(x, y).values()
            sent = [v.tobytes() if isinstance(v, np.ndarray) else v for v in values]
            base.execute(insert, (run, x, y, *sent))
            if run % 100 == 99:
                base.commit()
        base.commit()
        base.close()

    def read(self, names: list[str], n: int, folder: Path) -> float:
        base, total = sqlite3.connect(folder / "runs.sqlite"), 0.0
        for name in names:
            for (value,) in base.execute(f'SELECT "{name}" FROM runs'):
                total += np.frombuffer(value).mean() if isinstance(value, bytes) else value
        base.close()
        return float(total / n)


class Memmap:
    """A memory-mapped array with a row for each run: the limit, without labels or states."""

    def write(self, function: Callable[..., Values], n: int, folder: Path) -> None:
        width = sum(np.size(value) for value in function(1.0, 1.0).values())
        kept = np.lib.format.open_memmap(folder / "runs.npy", "w+", "f8", (n, width))
        for run, x, y in points(n):
            found = list(function(x, y).values())
            kept[run] = found if len(found) > 1 else found[0]
        kept.flush()

    def read(self, names: list[str], n: int, folder: Path) -> float:
        del n
        kept = np.load(folder / "runs.npy", mmap_mode="r")
        return float(kept.mean()) * (len(names) if len(names) > 1 else 1)


WAYS: dict[str, Any] = {
    "toolkit": Toolkit(),
    "HDF5 groups": Groups(),
    "netCDF": Files(),
    "sqlite": Rows(),
    "memmap": Memmap(),
}


def measured(name: str, case: str, n: int, folder: Path) -> dict[str, float]:
    """Write the runs of a case and read them; CPU and wall seconds, inodes and MB."""
    function, _ = CASES[case]
    way = WAYS[name]
    few = min(n, SLOW.get(name, n))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cpu, started = time.process_time(), time.perf_counter()
    way.write(function, few, folder)
    row = {"write cpu": time.process_time() - cpu, "write": time.perf_counter() - started}
    cpu, started = time.process_time(), time.perf_counter()
    found = way.read(list(function(1.0, 1.0)), few, folder)
    row |= {"reduce cpu": time.process_time() - cpu, "reduce": time.perf_counter() - started}
    inodes, size = folder_size(folder)
    row |= {"inodes": inodes, "MB": size / 1e6}
    values = [np.mean(list(map(np.mean, function(x, y).values()))) for _, x, y in points(few)]
    expected = np.mean(values) * len(function(1.0, 1.0))
    if not np.isclose(found, expected):
        raise ValueError(f"{name} reads {found} where {expected} was written")
    return {key: value * n / few for key, value in row.items()}


def pypet_environment() -> Path | None:
    """Return the Python of an environment with pypet, made once in the cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    python = cache / "toolkit-benchmarks" / "pypet" / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        made = [uv, "venv", "-q", "--clear", "--python", "3.11", str(python.parent.parent)]
        filled = [uv, "pip", "install", "-q", "--python", str(python), *PYPET]
        try:
            for command in (made, filled):
                subprocess.run(command, check=True, timeout=600)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"no environment for pypet: {error}")
            shutil.rmtree(python.parent.parent, ignore_errors=True)
            return None
    return python


def pypet(n: int, folder: Path) -> dict[str, float] | None:
    """Run the small case with pypet; None where its environment cannot be made."""
    python = pypet_environment()
    if python is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("pypet_runs.py")
    ended = subprocess.run(
        [python, script, str(n), folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        text=True,
        timeout=1800,
        cwd=folder,
    )
    row: dict[str, float] = json.loads(ended.stdout.splitlines()[-1])
    inodes, size = folder_size(folder)
    return {**row, "inodes": inodes, "MB": size / 1e6}


def main() -> None:
    """Measure all cases and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the runs")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--pypet-runs", type=int, default=1000, help="0: without it")
    parser.add_argument("--rounds", type=int, default=3, help="the fastest counts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for way in WAYS:
            measured(way, "small", 20, folder / "warm")
        for case in options.cases:
            n = max(20, round(CASES[case][1] * options.scale) // 10 * 10)
            rows = {way: _best(way, case, n, folder, options.rounds) for way in WAYS}
            print(f"\n{_table(case, n, rows)}", flush=True)
        if options.pypet_runs:
            n = options.pypet_runs
            ours = _best("toolkit", "small", n, folder, options.rounds)
            theirs = pypet(n, folder / "pypet")
            if theirs is not None:
                rows = {"toolkit": ours, "pypet": theirs}
                print(f"\n{_table('small, beside pypet', n, rows)}", flush=True)
                ratio = theirs["write cpu"] / ours["write cpu"]
                print(f"pypet / toolkit, CPU to write: {ratio:.0f} (target {PYPET_CPU})")


def _best(way: str, case: str, n: int, folder: Path, rounds: int) -> dict[str, float]:
    found = [measured(way, case, n, folder / way) for _ in range(rounds)]
    shutil.rmtree(folder / way)
    return {key: min(row[key] for row in found) for key in found[0]}


def _table(case: str, n: int, rows: dict[str, dict[str, float]]) -> str:
    columns = ("write cpu", "write", "reduce cpu", "reduce", "inodes", "MB")
    lines = [f"{case}, {n:,} runs", " " * 14 + "".join(f"{name:>12}" for name in columns)]
    for way, row in rows.items():
        note = "*" if way in SLOW and n > SLOW[way] else ""
        cells = [
            f"{row[c]:>12.3f}" if c not in ("inodes",) else f"{row[c]:>12,.0f}" for c in columns
        ]
        lines.append(f"{way + note:14}{''.join(cells)}")
    if "HDF5 groups" in rows:
        ours, theirs = rows["toolkit"], rows["HDF5 groups"]
        target = f" (targets {LESS_CPU}, {FASTER_REDUCE})" if case == "small" else ""
        lines.append(
            f"HDF5 groups / toolkit: CPU to write {theirs['write cpu'] / ours['write cpu']:.1f}, "
            f"to reduce {theirs['reduce'] / ours['reduce']:.1f}{target}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
