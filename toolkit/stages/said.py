"""What the runs of a batch print, warn of and log, each run's first and last part."""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from toolkit.stages.failure import RunFailure

FIRST = LAST = 2000  # characters that are kept of a run
_SESSIONS = 8


class RunLog(NamedTuple):
    """What some runs have said, all of them the same.

    Parameters
    ----------
    runs
        Half-open ranges of run ids, ascending.
    text
        What they said; None: something, which was left out, for a session keeps only so much.
    """

    runs: tuple[tuple[int, int], ...]
    text: str | None


class Outcome(Protocol):
    """What is told what its runs said: ``BatchResult``."""

    errors: list[RunFailure]
    logs: list[RunLog]


class Excerpt:
    """The first and the last part of a text that comes in pieces."""

    __slots__ = ("_first", "_last", "_n")

    def __init__(self) -> None:
        self._first = self._last = ""
        self._n = 0

    def add(self, text: str) -> None:
        """Append a piece; of a long text no more is held than is kept."""
        self._n += len(text)
        free = FIRST - len(self._first)
        if free > 0:
            self._first += text[:free]
            text = text[free:]
        if text:
            self._last += text[-LAST:]
            if len(self._last) > 4 * LAST:
                self._last = self._last[-LAST:]

    def __str__(self) -> str:
        last = self._last[-LAST:]
        left_out = self._n - len(self._first) - len(last)
        between = f"\n… {left_out:,} characters left out …\n" if left_out else ""
        return f"{self._first}{between}{last}"


class Allowance:
    """How many characters this process may keep in a session: of any run, and of failed ones."""

    def __init__(self, characters: int) -> None:
        self._left = {False: characters, True: characters}

    def take(self, characters: int, *, failed: bool) -> bool:
        """Take so many, if they are left."""
        left = self._left[failed] - characters
        if left >= 0:
            self._left[failed] = left
        return left >= 0


def allowance(session: str, characters: int) -> Allowance:
    """Return the allowance of a session in this process."""
    with _lock:
        if session not in _allowances:
            while len(_allowances) >= _SESSIONS:
                del _allowances[next(iter(_allowances))]
            _allowances[session] = Allowance(characters)
        return _allowances[session]


class Said:
    """What the runs of one batch have said so far, by their positions in it.

    Parameters
    ----------
    allowance
        What may be kept.
    failed
        Positions of runs that have failed by now; grows elsewhere.
    """

    def __init__(self, allowance: Allowance, failed: set[int]) -> None:
        self._allowance, self._failed = allowance, failed
        self._open: dict[int, Excerpt] = {}
        self._kept: dict[int, str | None] = {}
        self._lock = threading.Lock()  # a run may have threads

    def add(self, index: int, text: str) -> None:
        """Note a piece of what the run at a position says."""
        with self._lock:
            excerpt = self._open.get(index)
            if excerpt is None:
                self._close()  # the runs before it have ended
                excerpt = self._open[index] = Excerpt()
            excerpt.add(text)

    def take(self) -> dict[int, str | None]:
        """Return what was said since the last time, by position, None where it was left out."""
        with self._lock:
            self._close()
            kept, self._kept = self._kept, {}
            return kept

    def _close(self) -> None:
        for index, excerpt in self._open.items():
            text = str(excerpt)
            is_kept = self._allowance.take(len(text), failed=False) or (
                index in self._failed and self._allowance.take(len(text), failed=True)
            )
            self._kept[index] = text if is_kept else None
        self._open = {}


def note_said(
    outcome: Outcome, said: dict[int, str | None], runs: Sequence[int], *, together: bool = False
) -> None:
    """Put into the outcome of a batch what its runs said.

    Parameters
    ----------
    outcome
        Of the batch.
    said
        By position among ``runs``.
    together
        Whether the runs were one call: each of them then said all.
    """
    by_text: dict[str | None, list[int]] = {}
    for index, text in said.items():
        by_text.setdefault(text, []).extend(runs if together else (runs[index],))
    outcome.logs = [RunLog(_ranges(ids), text) for text, ids in by_text.items()]
    texts = {run: text for text, ids in by_text.items() if text is not None for run in ids}
    if outcome.errors and texts:
        outcome.errors = [
            replace(error, log=_both(texts[error.run], error.log)) if error.run in texts else error
            for error in outcome.errors
        ]


def _both(said: str, written: str) -> str:
    """Return what a run said, then what its program wrote on standard error."""
    return f"{said.rstrip()}\n{written}" if said and written else said or written


def _ranges(runs: Iterable[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for run in sorted(set(runs)):
        if found and found[-1][1] == run:
            found[-1] = (found[-1][0], run + 1)
        else:
            found.append((run, run + 1))
    return tuple(found)


_allowances: dict[str, Allowance] = {}
_lock = threading.Lock()
