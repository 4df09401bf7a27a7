"""A driver: the process that a user's script would be."""

import contextlib
import ctypes
import json
import os
import resource
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import injection
import studies

import toolkit.execution.engine
import toolkit.stores.runs.fold
from toolkit.execution.dask_executor import DaskExecutor
from toolkit.execution.executors import InProcessExecutor

_CAPABILITY_VERSION_3 = 0x20080522


def play(request: dict[str, Any]) -> None:
    """Run the study's sweep; say at the end how it went, in the file ``outcome``.

    The request holds ``kind``, ``store``, ``calls``, ``outcome``, ``parts`` (of the space, in
    turn), ``client`` (address of a scheduler, or None: in this process), ``point_file``, and
    optionally ``open_files`` or ``file_bytes`` (limits of this process).
    """
    if request.get("point_file"):
        injection.install(Path(request["point_file"]))
    if "open_files" in request:
        _leave_open_files(request["open_files"])
    if request.get("is_hasty"):
        # What comes every few seconds comes many times in a sweep of one.
        toolkit.stores.runs.fold.PATCH_S, toolkit.stores.runs.fold.STATE_S = 0.05, 0.03
        toolkit.stores.runs.fold._STATE_SHARE = 0
    # However slow the machine is today: without a client, all runs are made in this process.
    toolkit.execution.engine._IN_PROCESS_SECONDS = 1e9
    outcome: dict[str, Any] = {"error": None}
    if request.get("clock"):
        _turn_back_the_clock(**request["clock"])
    if request.get("obeys_modes"):
        _obey_modes()
    started = time.monotonic()
    client = None
    _note_batches(Path(request["batches"]))
    try:
        if request.get("client"):
            from distributed import Client

            client = Client(request["client"], timeout=8)
        for part in request.get("parts", [1]):
            sweep = studies.sweep(
                request["kind"],
                Path(request["store"]),
                Path(request["calls"]),
                part,
                request.get("bad"),
            )
            sweep.run(client, progress=False, **request.get("run", {}))
        if request.get("compact"):
            from toolkit.stores.upkeep.compaction import compact

            compact(request["store"])
    except Exception as error:  # noqa: BLE001  (the outcome says it)
        outcome["error"] = f"{type(error).__name__}: {error}"
        import traceback

        traceback.print_exc()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    outcome["seconds"] = time.monotonic() - started
    path = request["outcome"]
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(outcome, file)
    os.replace(f"{path}.new", path)
    if client is not None:
        client.close()


def _leave_open_files(count: int) -> None:
    """Let this process open so many files and no more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(count)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare, default=2) + 1, most))
    with contextlib.suppress(OSError):
        while True:
            os.open(os.devnull, os.O_RDONLY)
    for descriptor in spare:
        os.close(descriptor)


def _obey_modes() -> None:
    """Give up the right of root to write where the mode of a file says no."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    data = ctypes.create_string_buffer(24)
    if libc.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    effective, *rest = struct.unpack("<6I", data.raw)
    override, read_search = 1 << 1, 1 << 2
    if libc.capset(header, struct.pack("<6I", effective & ~(override | read_search), *rest)):
        raise OSError(ctypes.get_errno(), "capset")


def _turn_back_the_clock(*, after: float, back: float) -> None:
    now, begun = time.time, time.monotonic()
    time.time = lambda: now() - (back if time.monotonic() - begun > after else 0.0)


def _note_batches(file: Path) -> None:
    """Note how many runs the largest batch has: so many may run again after a kill."""
    largest = 0

    def noting(submit: Callable[..., None]) -> Callable[..., None]:
        def submit_noted(self: Any, tasks: Any, *how: Any) -> None:
            nonlocal largest
            found = max(len(task.run_ids()) for task in tasks)
            if found > largest:
                largest = found
                file.write_text(str(found))
            submit(self, tasks, *how)

        return submit_noted

    for executor in (DaskExecutor, InProcessExecutor):
        executor.submit = noting(executor.submit)
