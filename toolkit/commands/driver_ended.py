"""What the job of a driver does when its driver has ended: done, or once more from the store.

Called by the script of ``toolkit submit``, with exit code 0 where the job begins again: when its
driver was told to stop because the job's time is over, or has died, while runs are left. After
three starts without progress it does not.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from toolkit.commands.outcome import ExitCode
from toolkit.views.plain import printable

MOST_WITHOUT_PROGRESS = 3
_SIGNALS = 128  # exit codes above are those of processes that a signal has ended
_TIMEOUT = 30.0


def main(store: Path, notes: str, code: int, *, is_told: bool) -> bool:
    """Have SLURM begin this job again where that is of use; return whether it does."""
    job = os.environ.get("SLURM_JOB_ID", "")
    is_interrupted = (code == ExitCode.INTERRUPTED and is_told) or code > _SIGNALS
    if not job or not is_interrupted:
        return False
    if _state(job) != "RUNNING":  # cancelled, or SLURM begins it again by itself
        return False
    left = _left(store)
    if left is None or not left[0]:
        return False
    futile = _count_futile(Path(f"{notes}-{job}.json"), left)
    if futile >= MOST_WITHOUT_PROGRESS:
        _say(f"{left[0]:,} runs are left, but {futile} starts made no progress: giving up")
        return False
    _say(f"{left[0]:,} runs are left: beginning again as job {job}")
    words = _ask("scontrol", "requeue", job)
    if words is None:
        _say(f"SLURM does not begin job {job} again")
    return words is not None


def _left(store: Path) -> list[float] | None:
    """Return how many runs are left, and when the latest checkpoint was written."""
    from toolkit.commands.standing import look
    from toolkit.errors import ToolkitError
    from toolkit.execution.chances import CHECKPOINTS

    try:
        pending = look(store).pending
    except ToolkitError as error:
        _say(str(error))
        return None
    latest = 0.0
    for folder, _, files in os.walk(store / CHECKPOINTS):
        for name in files:
            try:
                latest = max(latest, os.lstat(os.path.join(folder, name)).st_mtime)
            except OSError:
                continue
    return [pending, latest]


def _count_futile(notes: Path, left: list[float]) -> int:
    """Return how many starts of this job in a row have ended with the same runs left."""
    try:
        before = json.loads(notes.read_text())
        futile = int(before["futile"]) + 1 if before["left"] == left else 0
    except (OSError, ValueError, KeyError, TypeError):
        futile = 0
    notes.write_text(json.dumps({"left": left, "futile": futile}))
    return futile


def _state(job: str) -> str:
    words = (_ask("scontrol", "show", "job", job, "--oneliner") or "").split()
    return next((w.partition("=")[2] for w in words if w.startswith("JobState=")), "")


def _ask(*command: str) -> str | None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        _say(f"{command[0]}: {error}")
        return None
    if done.returncode:
        _say(done.stderr.strip())
        return None
    return done.stdout


def _say(text: str) -> None:
    sys.stderr.write(f"toolkit submit: {printable(text)}\n")


if __name__ == "__main__":
    _store, _notes, _code, _told = sys.argv[1:]
    sys.exit(not main(Path(_store), _notes, int(_code), is_told=_told == "1"))
