"""One large array for every task: frozen, beside what else hands it to workers.

Run as ``python tests/benchmarks/frozen.py``. Each way has a process of its own, with workers of its
own, and as root a network of its own, so that what passes the loopback device is counted exactly.
"""

import argparse
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

MB = 1e6
TASKS = 16
Way = Callable[[Any, Any, int], list[float]]


def touch(data: Any, task: int) -> float:
    """Read every page."""
    return float(data.sum()) + task


def touch_frozen(task: int, data: Any) -> float:
    return touch(data, task)


def argument_per_task(client: Any, data: Any, workers: int) -> list[float]:
    return client.gather([client.submit(touch, data, task, pure=False) for task in range(TASKS)])


def scatter(client: Any, data: Any, workers: int, **options: Any) -> list[float]:
    [held] = client.scatter([data], **options)
    found = client.gather([client.submit(touch, held, task, pure=False) for task in range(TASKS)])
    held.release()
    return found


def scatter_broadcast(client: Any, data: Any, workers: int) -> list[float]:
    return scatter(client, data, workers, broadcast=True)


def joblib_memmap(_: Any, data: Any, workers: int) -> list[float]:
    from joblib import Parallel, delayed

    return list(Parallel(n_jobs=workers)(delayed(touch)(data, task) for task in range(TASKS)))


def frozen(client: Any, data: Any, workers: int) -> list[float]:
    import toolkit as tk

    sweep = tk.Sweep(touch_frozen, {"task": range(TASKS)}, frozen={"data": data})
    return sweep.run(client, progress=False).touch_frozen.values.tolist()


WAYS: dict[str, Way] = {
    "frozen": frozen,
    "argument per task": argument_per_task,
    "scatter": scatter,
    "scatter, broadcast": scatter_broadcast,
    "joblib memmap": joblib_memmap,
}


def main() -> None:
    """Measure all ways with each number of workers, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--seat", nargs=2, metavar=("WAY", "WORKERS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.seat:
        print(json.dumps(_measured(options.seat[0], int(options.seat[1]), options.megabytes)))
        return
    for workers in options.workers:
        rows = {way: _seat(way, workers, options.megabytes) for way in options.ways}
        print(f"\n{_table(rows, workers, options.megabytes)}", flush=True)


def _seat(way: str, workers: int, megabytes: int) -> dict[str, float]:
    arguments = ["--megabytes", str(megabytes), "--seat", way, str(workers)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(way: str, workers: int, megabytes: int) -> dict[str, float]:
    has_own_network = _own_network()
    run = WAYS[way]
    data = np.random.default_rng(0).random(megabytes * 125_000)
    small = data[:1000].copy()
    expected = [touch(data, task) for task in range(TASKS)]
    import toolkit as tk

    with tk.cluster("local", workers=workers, threads=1, memory=None, dashboard=None) as cluster:
        client = cluster.client
        run(client, small, workers)  # imports and first connections are not measured
        before, own, cpu = _workers_memory(), _own_memory(), _cpu()
        loopback = _loopback()
        with _Peak() as peak:
            started = time.perf_counter()
            found = run(client, data, workers)
            wall = time.perf_counter() - started
        cpu = _cpu() - cpu
        if not np.allclose(found, expected, rtol=1e-12):  # sums depend on alignment
            raise SystemExit(f"{way} returned other values")
        return {
            "wall": wall,
            "cpu": cpu,
            "workers": peak.workers - before,
            "client": peak.own - own,
            "loopback": (_loopback() - loopback) / MB,
            "is_exact": has_own_network,
        }


class _Peak:
    """The most memory that the workers, and this process, have at one time."""

    workers = own = 0.0

    def __enter__(self) -> "_Peak":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.workers = max(self.workers, _workers_memory())
            self.own = max(self.own, _own_memory())
            if self._stop.wait(0.05):
                return


def _workers_memory() -> float:
    """MB of all processes below this one, shared pages divided among those who share them."""
    return sum(_pss(each.pid) for each in psutil.Process().children(recursive=True))


def _own_memory() -> float:
    return _pss(os.getpid())


def _pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    [line] = [line for line in text.splitlines() if line.startswith("Pss:")] or ["Pss: 0"]
    return int(line.split()[1]) * 1024 / MB


def _cpu() -> float:
    me = psutil.Process()
    total = 0.0
    for each in (me, *me.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _loopback() -> int:
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    [line] = [line for line in lines if line.strip().startswith("lo:")]
    return int(line.partition(":")[2].split()[0])


def _own_network() -> bool:
    """Give this process a loopback device of its own, where it may have one."""
    new_network = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(new_network) != 0:
        return False
    set_flags, up_and_running = 0x8914, 0x41
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", up_and_running)
        fcntl.ioctl(any_socket, set_flags, request)
    return True


def _table(rows: dict[str, dict[str, float]], workers: int, megabytes: int) -> str:
    titles = ("wall", "/frozen", "CPU s", "/frozen", "workers MB", "client MB", "loopback MB")
    first = rows.get("frozen") or next(iter(rows.values()))
    exact = "" if all(row["is_exact"] for row in rows.values()) else ", loopback of the whole host"
    lines = [
        f"{megabytes} MB on {workers} workers, {TASKS} tasks that read all of it{exact}",
        f"{'':20}" + "".join(f"{title:>13}" for title in titles),
    ]
    for way, row in rows.items():
        cells = (
            f"{row['wall']:.2f} s",
            f"{row['wall'] / first['wall']:.1f}",
            f"{row['cpu']:.2f}",
            f"{row['cpu'] / first['cpu']:.1f}",
            f"{row['workers']:+.0f}",
            f"{row['client']:+.0f}",
            f"{row['loopback']:.1f}",
        )
        lines.append(f"{way:20}" + "".join(f"{cell:>13}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
