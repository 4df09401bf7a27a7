"""The fuzzer: damages journals, stores and profiles for as long as it is told to.

``python -m tests.trust --minutes 10`` (``make fuzz MINUTES=10``). Every input follows from the
seed and its number, so that a finding can be repeated: ``--only store --seed 1 --input 1234``.
Each target runs in a process with little memory, which is watched; a finding is whatever is no
ToolkitError, takes more than 30 s, or takes memory that the toolkit should have asked for.
"""

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

SECONDS, MEMORY, ROOM = 30, 3 << 30, 128 << 20
TARGETS = ("journal", "store", "profile")


class TooSlow(BaseException):
    """An input took longer than it may."""


def main() -> int:
    """Run each target in a process of its own; return 1 if any has found something."""
    parser = argparse.ArgumentParser(prog="tests.trust", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="for each target")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", choices=TARGETS)
    parser.add_argument("--input", type=int, help="run this one input, in this process")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child or asked.input is not None:
        return _fuzz(asked)
    failed = 0
    for target in TARGETS if asked.only is None else (asked.only,):
        failed |= _watch(target, asked)
    return failed


def _watch(target: str, asked: argparse.Namespace) -> int:
    """Start a target and start it again where an input has ended it."""
    end = time.monotonic() + 60 * asked.minutes
    failed, seed = 0, asked.seed
    while (left := end - time.monotonic()) > 1:
        command = [sys.executable, "-m", "tests.trust", "--child", "--only", target]
        command += ["--seed", str(seed), "--minutes", str(left / 60)]
        with tempfile.TemporaryDirectory(prefix="toolkit-fuzz-") as folder:
            note = Path(folder, "note")
            process = subprocess.Popen(command, env={**os.environ, "TOOLKIT_FUZZ": folder})
            while process.poll() is None:
                time.sleep(0.5)
                is_stuck = note.exists() and time.time() - note.stat().st_mtime > 3 * SECONDS
                if is_stuck:
                    process.kill()
            if process.returncode in (0, 1):
                failed |= process.returncode
                break
            number = note.read_text() if note.exists() else "?"
            print(f"{target}: seed {seed} input {number} ENDED the process ({process.returncode})")
        failed, seed = 1, seed + 1
    return failed


def _fuzz(asked: argparse.Namespace) -> int:
    warnings.simplefilter("ignore")
    from toolkit.stores.files import limits

    limits.room = lambda: ROOM
    limits.SMALL = 1 << 20
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _give_up)
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="toolkit-fuzz-", dir=shared) as folder:
        run = _target(asked.only or "store", Path(folder))
        note = Path(os.environ.get("TOOLKIT_FUZZ", folder), "note")
        end = time.monotonic() + 60 * asked.minutes
        seen: Counter[str] = Counter()
        found: dict[str, int] = {}
        number, slowest = 0, 0.0
        numbers = [asked.input] if asked.input is not None else range(10**9)
        for number in numbers:
            if time.monotonic() > end:
                break
            note.write_text(str(number))
            rng = random.Random(f"{asked.only}-{asked.seed}-{number}")
            begin = time.monotonic()
            signal.alarm(SECONDS)
            try:
                seen[run(rng)] += 1
            except (Exception, TooSlow) as error:  # noqa: BLE001 - these are the findings
                signal.alarm(0)
                where = _where(error)
                seen["FINDING"] += 1
                if where not in found:
                    found[where] = number
                    print(f"FINDING {asked.only} --seed {asked.seed} --input {number}: {where}")
                    traceback.print_exception(error, limit=-8)
            finally:
                signal.alarm(0)
            slowest = max(slowest, time.monotonic() - begin)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    outcomes = ", ".join(f"{count:,} {name}" for name, count in seen.most_common())
    print(
        f"{asked.only}: seed {asked.seed}, {sum(seen.values()):,} inputs: {outcomes}; slowest "
        f"{slowest:.1f} s, peak memory {peak:.0f} MB, {len(found)} kinds of findings",
        flush=True,
    )
    return int(bool(found))


def _target(name: str, folder: Path) -> Callable[[random.Random], str]:
    from tests.trust import mutations, readers, specimens
    from toolkit.errors import ToolkitError

    if name == "profile":
        path = folder / "some.yaml"

        def run_profile(rng: random.Random) -> str:
            path.write_bytes(mutations.mutate_profile(rng))
            try:
                readers.read_profile(path)
            except ToolkitError:
                return "refused"
            return "read"

        return run_profile
    stores = sorted(specimens.made(folder).items())
    only = ".journal" if name == "journal" else ""
    stores = [item for item in stores if not only or list(item[1].rglob("*.journal"))[1:]]
    place = folder / "x.zarr"

    def run_store(rng: random.Random) -> str:
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(rng.choice(stores)[1], place)
        done = mutations.mutate_store(place, rng, only)
        try:
            errors = readers.read_store(place, rng)
            if rng.randrange(4) == 0:
                with contextlib.suppress(ToolkitError):
                    readers.write_store(place)
        except BaseException as error:
            error.add_note(f"after {done}")
            raise
        return "refused" if errors else "read"

    return run_store


def _where(error: BaseException) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/toolkit/" in f.filename]
    last = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{type(error).__name__} at {last}"


def _give_up(*_: object) -> None:
    raise TooSlow


if __name__ == "__main__":
    sys.exit(main())
