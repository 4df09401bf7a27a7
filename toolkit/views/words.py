"""A snapshot in words: one line for a log, how a sweep ended, counts and rates."""

from toolkit.views.plain import printable
from toolkit.views.snapshot import Snapshot
from toolkit.views.text import amount, between, duration


def line(snapshot: Snapshot) -> str:
    """Return one line for a log.

    Examples
    --------
    >>> from toolkit.views.snapshot import Counts, Snapshot, Span, StageState
    >>> fit = StageState(name="fit", counts=Counts(done=40, failed=2, pending=58), rate=2.0)
    >>> print(line(Snapshot(at=0, state="running", stages=(fit,), left=Span(low=25, high=40))))
    fit: 40 of 100 done, 2 failed, 58 pending, 2 runs/s, 25 to 40 s left
    """
    counts = snapshot.counts
    name = snapshot.store or ", ".join(each.name for each in snapshot.stages) or "no stage"
    if not counts.total:
        return printable(f"{one_line(name)}: no runs yet")
    parts = [f"{counts.done:,} of {counts.total:,} done"]
    others = ("failed", "blocked", "stale", "pending")
    parts += [f"{count:,} {each}" for each in others if (count := getattr(counts, each))]
    if snapshot.is_ended:
        parts.append("finished" if is_over(snapshot) else mark(snapshot))
    else:
        if snapshot.state != "running":
            parts.append(snapshot.state)
        if counts.pending and snapshot.rate:
            parts.append(rate_text(snapshot.rate))
        if snapshot.elapsed is not None:
            parts.append(f"{duration(snapshot.elapsed)} elapsed")
        if snapshot.left is not None and counts.pending:
            parts.append(f"{between(snapshot.left.low, snapshot.left.high)} left")
    return printable(one_line(f"{name}: {', '.join(parts)}"))


def mark(snapshot: Snapshot) -> str:
    """Return in words how a sweep ended, ``""`` while it goes on.

    Examples
    --------
    >>> from toolkit.views.snapshot import Counts, Snapshot, StageState
    >>> fit = StageState(name="fit", counts=Counts(done=98, failed=2))
    >>> mark(Snapshot(at=0, state="done", stages=(fit,)))
    'finished, 2 of 100 runs failed'
    """
    if not snapshot.is_ended:
        return ""
    counts = snapshot.counts
    to_go = f"with {runs_text(counts.pending)} to go"
    said = {
        "cancelled": f"stopped {to_go}",
        "error": f"ended by an error {to_go}",
        "idle": f"not running, {runs_text(counts.pending)} to go",
        "interrupted": f"interrupted {to_go}: the process that ran it has died",
    }.get(snapshot.state)
    if said is not None:
        return said
    if not (counts.failed or counts.blocked):
        return "finished, all runs are done"
    failed = f"{counts.failed:,} of {counts.total:,} runs failed" if counts.failed else ""
    blocked = f"{counts.blocked:,} blocked by runs that failed" if counts.blocked else ""
    return "finished, " + ", ".join(filter(None, (failed, blocked)))


def one_line(words: object) -> str:
    """Return words without line ends, and with one space between two of them."""
    return " ".join(str(words).split())


def many(count: int, what: str) -> str:
    """Return a count with what it counts, in the plural where that is due."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def runs_text(count: int) -> str:
    """Return a number of runs."""
    return many(count, "run")


def is_over(snapshot: Snapshot) -> bool:
    """Whether nothing is left to be run."""
    return snapshot.state == "done"


def rate_text(rate: float) -> str:
    """Return how many runs end in a second, or in a minute or an hour where that is under one."""
    for factor, unit in ((1, "s"), (60, "min"), (3600, "h")):
        if rate * factor >= 1 or unit == "h":
            return f"{amount(rate * factor)} runs/{unit}"
    raise AssertionError
