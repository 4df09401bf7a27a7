"""``make faults ROUNDS=100``: disturbs real sweeps and says what was lost.

Every round's chance comes from the seed, the fault and the round's number. What is done is kept
in a file, so that Ctrl-C and the same command again go on where it was.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time
import traceback
import zlib
from pathlib import Path
from typing import Any

import damages
import journals
import kills
import numpy as np
import places
import runs
import takeovers
from lab import Lab, StuckError
from registry import FAULTS, Fault
from rounds import Round, Verdict

FAMILIES = (kills, journals, damages, places, runs, takeovers)
"""Modules that enter their faults."""

STATE = Path(__file__).parent / "results" / "state.json"
WHENS = ("before", "torn", "after", "end")
"""When a process was killed: before, in the middle of or after a change; at the phase's end."""

COUNTS = ("rounds", "hit", "lost", "repeated", "allowed", "wrong")


def main(arguments: list[str]) -> int:
    """Play what is left of the rounds; 1 where something was lost or wrong, else 0."""
    options = _options(arguments)
    faults = [
        each
        for each in FAULTS
        if each.is_possible and (not options.only or any(o in each.name for o in options.only))
    ]
    if options.list:
        print("\n".join(f"{each.family}: {each.name}" for each in faults))
        return 0
    state = _load(options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begun = time.monotonic()
    try:
        with Lab(options.folder) as lab:
            for each, number in _order(faults, options, state):
                _play(lab, each, number, options, state)
                _save(options.state, state)
    except KeyboardInterrupt:
        print(f"\nStopped. The same command goes on; {options.state} holds what is done.")
    print(table(state["faults"]))
    print(f"\n{points(state['struck'])}\n")
    wall, cpu = time.monotonic() - begun, _cpu_seconds()
    print(f"{wall:.0f} s, {cpu:.0f} s of CPU time, seed {options.seed}")
    for note in state["notes"]:
        print(note)
    return 1 if state["notes"] else 0


def table(faults: dict[str, dict[str, Any]]) -> str:
    """Return the rounds as lines of text."""
    head = ("fault", *COUNTS, "s a round")
    rows = [
        (name, *(str(found[key]) for key in COUNTS), f"{found['seconds'] / found['rounds']:.1f}")
        for name, found in faults.items()
    ]
    return _aligned(head, rows)


def points(struck: dict[str, dict[str, int]]) -> str:
    """Return as lines of text in which phases of the product processes were killed, and when."""
    head = ("killed in the phase", *WHENS)
    rows = [
        (phase, *(str(found.get(when, 0)) for when in WHENS))
        for phase, found in sorted(struck.items())
    ]
    return _aligned(head, rows)


def _aligned(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _order(
    faults: list[Fault], options: argparse.Namespace, state: dict[str, Any]
) -> list[tuple[Fault, int]]:
    """Return what is to be played: all faults in turn, so that a stop leaves a fair sample."""
    if options.round is not None:
        return [(each, options.round) for each in faults]
    left = []
    for each in faults:
        done = state["faults"].get(each.name, {"rounds": 0})["rounds"]
        wanted = each.rounds_of(options.rounds)
        left += [(number / wanted, each, number) for number in range(done, wanted)]
    return [(each, number) for _, each, number in sorted(left, key=lambda item: item[0])]


def _play(
    lab: Lab, each: Fault, number: int, options: argparse.Namespace, state: dict[str, Any]
) -> None:
    rng = np.random.default_rng([options.seed, zlib.crc32(each.name.encode()), number])
    first = zlib.crc32(each.name.encode())
    kind = each.kinds[(first + number) % len(each.kinds)]
    folder = lab.folder / f"{each.name.replace(' ', '-')}-{number}"
    folder.mkdir()
    started = time.monotonic()
    verdict = Verdict()
    try:
        round_ = Round(lab, rng, kind, folder)
        verdict = round_.verdict
        each.play(round_)
        verdict = round_.judge()
    except StuckError as error:
        verdict.notes.append(str(error))
    except Exception:  # noqa: BLE001  (noted; the other rounds go on)
        verdict.notes.append(traceback.format_exc())
    verdict.seconds = time.monotonic() - started
    _count(state, each, number, verdict)
    if options.verbose or not verdict.is_clean:
        print(
            f"{each.name}, round {number} ({kind}): {verdict.seconds:.1f} s, lost {verdict.lost}, "
            f"repeated {verdict.repeated} of {verdict.allowed}, wrong {verdict.wrong}"
            f"{'' if verdict.has_hit else ', missed'}",
            *verdict.notes,
            sep="\n    ",
            flush=True,
        )
    if not verdict.is_clean:
        _keep(folder, options.state.parent, state)
    shutil.rmtree(folder, ignore_errors=True)


def _count(state: dict[str, Any], each: Fault, number: int, verdict: Verdict) -> None:
    found = state["faults"].setdefault(each.name, dict.fromkeys(COUNTS, 0) | {"seconds": 0.0})
    found["rounds"] += 1
    found["hit"] += int(verdict.has_hit)
    found["seconds"] += verdict.seconds
    for name in ("lost", "repeated", "allowed", "wrong"):
        found[name] += getattr(verdict, name)
    for phase, whens in verdict.struck.items():
        counts = state["struck"].setdefault(phase, {})
        for when, n in whens.items():
            counts[when] = counts.get(when, 0) + n
    state["notes"] += [f"{each.name}, round {number}: {note}" for note in verdict.notes]
    if verdict.repeated > verdict.allowed and not verdict.notes:
        state["notes"].append(f"{each.name}, round {number}: too many runs repeated")


def _keep(folder: Path, results: Path, state: dict[str, Any]) -> None:
    """Keep the first few stores that went wrong, for whoever looks into it."""
    kept = results / "kept" / folder.name
    if len(list(kept.parent.glob("*"))) < 10:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(folder, kept, dirs_exist_ok=True)
        state["notes"].append(f"    kept in {kept}")


def _load(options: argparse.Namespace) -> dict[str, Any]:
    blank = {"seed": options.seed, "faults": {}, "struck": {}, "notes": []}
    if options.fresh or options.round is not None or not options.state.exists():
        return blank
    found: dict[str, Any] = json.loads(options.state.read_text())
    return found if found["seed"] == options.seed and "struck" in found else blank


def _cpu_seconds() -> float:
    """Return what this process and those it has started took, but for workers that were killed."""
    times = os.times()
    return sum(times[:4])


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_text(json.dumps(state, indent=1))
    path.with_suffix(".new").replace(path)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="of each kill -9; others a tenth")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="faults whose name holds one of these")
    parser.add_argument("--round", type=int, help="play this round alone, and forget what is done")
    parser.add_argument("--state", type=Path, default=STATE, help="file of what is done")
    parser.add_argument("--fresh", action="store_true", help="begin anew")
    parser.add_argument("--folder", type=Path, help="where stores are made")
    parser.add_argument("--list", action="store_true", help="name the faults")
    parser.add_argument("--verbose", action="store_true", help="a line for each round")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
