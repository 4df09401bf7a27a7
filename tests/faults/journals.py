"""Journals that are not as they were written: what is whole is used, the rest runs again."""

import os
from pathlib import Path

from kills import wait_for_calls
from registry import fault
from rounds import Round


def damaged(round_: Round) -> Path | None:
    """Leave a journal behind by a kill, and return it for damage; None where there is none."""
    driver = round_.driver(None)
    wait_for_calls(round_, driver, round_.rng.uniform(0.2, 0.9))
    driver.kill()
    round_.victims += 1
    round_.look()
    found = sorted((round_.store / ".journal").glob("*.journal"))
    round_.verdict.has_hit = bool(found)
    return found[-1] if found else None


def go_on(round_: Round) -> None:
    """See what is left, and have the rest run."""
    round_.forget()
    with round_.read_all_the_while():
        round_.finish(None)


@fault("journal", kinds=("slow", "fast", "staged", "ragged"))
def journal_with_a_torn_tail(round_: Round) -> None:
    journal = damaged(round_)
    if journal is not None:
        size = journal.stat().st_size
        os.truncate(journal, max(0, size - int(round_.rng.integers(1, 400))))
    go_on(round_)


@fault("journal", kinds=("slow", "fast", "staged", "ragged"))
def journal_with_flipped_bits(round_: Round) -> None:
    journal = damaged(round_)
    if journal is not None:
        data = bytearray(journal.read_bytes())
        for at in round_.rng.integers(len(data), size=1 + int(round_.rng.integers(4))).tolist():
            data[at] ^= 1 << int(round_.rng.integers(8))
        journal.write_bytes(data)
    go_on(round_)


@fault("journal", kinds=("slow", "fast", "staged", "ragged"))
def journal_with_foreign_bytes(round_: Round) -> None:
    journal = damaged(round_)
    if journal is not None:
        foreign = round_.rng.bytes(int(round_.rng.integers(1, 9000)))
        with journal.open("ab") as file:
            file.write(foreign)
        (journal.parent / "foreign.journal").write_bytes(foreign)
        (journal.parent / "empty.journal").touch()
    go_on(round_)
    for name in ("foreign.journal", "empty.journal"):
        (round_.store / ".journal" / name).unlink(missing_ok=True)
