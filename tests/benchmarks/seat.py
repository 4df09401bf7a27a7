"""A process of its own for each contender, stopped while another one runs.

A Dask cluster that idles still has heartbeats and a dashboard: neither may cost the others a
percent, nor may one contender's memory or imports help another. The parent sends commands as
lines of JSON and gets one line back for each.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

SETTLE_SECONDS = 0.3


class SeatError(Exception):
    """A contender failed, or took longer than it was given."""


class Seat:
    """The parent's side: use it as a context manager."""

    def __init__(self, contender: str, folder: Path) -> None:
        self.contender = contender
        self.folder = folder
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving
        answers, answer = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, __file__, contender, str(answer)],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            pass_fds=(answer,),
            start_new_session=True,
        )
        os.close(answer)
        self._answers = os.fdopen(answers, "rb", buffering=0)
        self._is_paused = False

    def ask(self, do: str, *, limit: float, **details: Any) -> dict[str, Any]:
        """Have something done and wait at most ``limit`` seconds for it.

        Raises
        ------
        SeatError
            If it failed, or was not done in time; the seat can then only be left.
        """
        self._resume()
        assert self._process.stdin is not None
        command = {"do": do, "folder": str(self.folder), **details}
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        line, deadline = b"", time.monotonic() + limit
        while not line.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise SeatError(f"did not {do} in {limit:.0f} s")
            piece = self._answers.read(1 << 16)
            if not piece:
                raise SeatError(f"ended while it was to {do}: {self._last_words()}")
            line += piece
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SeatError(answer["error"])
        return answer

    def pause(self) -> None:
        """Stop all its processes until it is asked for something."""
        if not self._is_paused:
            self._signal(signal.SIGSTOP)
            self._is_paused = True

    def _resume(self) -> None:
        if self._is_paused:
            self._signal(signal.SIGCONT)
            self._is_paused = False
            time.sleep(SETTLE_SECONDS)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

    def __enter__(self) -> "Seat":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signal(signal.SIGCONT)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=20 if error is None else 1)
        # Workers are of its session: whatever became of it, none stays.
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._answers.close()
        self._log.close()


def main() -> None:
    """The contender's side: do as told until there is nothing more to read."""
    from measure import tree_cpu
    from registry import CONTENDERS

    contender = CONTENDERS[sys.argv[1]]()
    answers = os.fdopen(int(sys.argv[2]), "wb", buffering=0)
    is_started = False
    for line in sys.stdin:
        try:
            command = json.loads(line)
            if command["do"] == "start":
                started = time.perf_counter()
                contender.start()
                is_started = True
                answer = {"seconds": time.perf_counter() - started, "cpu": tree_cpu()}
            else:
                answer = _obey(contender, command)
        except Exception:  # noqa: BLE001 - the parent decides what becomes of it
            answer = {"error": traceback.format_exc()[-2000:]}
        answers.write(json.dumps(answer).encode() + b"\n")
    if is_started:
        contender.stop()


def _obey(contender: Any, command: dict[str, Any]) -> dict[str, Any]:
    from cases import case_named, grid_of
    from measure import measured_run, reading

    case, runs, folder = case_named(command["case"]), command["runs"], Path(command["folder"])
    if command["do"] == "read":
        return reading(contender, case, grid_of(case, runs), folder)
    shutil.rmtree(folder, ignore_errors=True)
    if command["do"] == "grow":
        folder.mkdir(parents=True)
        return {"growth": contender.growth(case, grid_of(case, runs), folder)}
    return measured_run(contender, case, runs, folder)


if __name__ == "__main__":
    main()
