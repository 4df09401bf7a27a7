"""One case: the contenders against Pool, in alternating pairs."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cases import WORKERS, Case, grid_of
from seat import Seat, SeatError

BASELINE = "pool"
_WARM_UP = 50  # the first runs of a worker import what it needs


@dataclass(kw_only=True)
class Row:
    """What was measured of one contender; ratios are of Pool's, seconds where no unit is said."""

    contender: str
    runs: int
    is_smaller: bool = False
    problem: str | None = None
    measures: dict[str, float | None] = field(default_factory=dict)
    pairs: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How much is measured.

    Parameters
    ----------
    pairs, peer_pairs
        Pairs with Pool, of the toolkit and of the others.
    scale
        Sizes of all cases are multiplied by this.
    limit
        Seconds after which a contender is taken to be too slow.
    peers
        Names of the contenders besides Pool and the toolkit; None for all of the case.
    """

    pairs: int = 5
    peer_pairs: int = 1
    scale: float = 1.0
    limit: float = 300.0
    peers: tuple[str, ...] | None = None


def measure_case(case: Case, rules: Rules, folder: Path) -> Iterator[Row]:
    """Yield Pool's row, the toolkit's, and those of the others."""
    runs = max(4, round(case.runs * rules.scale))
    yield from _against_pool("toolkit", case, runs, rules.pairs, rules, folder)
    for name, most in case.peers.items():
        if rules.peers is not None and name not in rules.peers:
            continue
        for row in _against_pool(name, case, min(most, runs), rules.peer_pairs, rules, folder):
            if row.contender != BASELINE:
                row.is_smaller = most < runs
                yield row


def _against_pool(
    name: str, case: Case, runs: int, pairs: int, rules: Rules, folder: Path
) -> Iterator[Row]:
    pool = Row(contender=BASELINE, runs=len(grid_of(case, runs)))
    row = Row(contender=name, runs=pool.runs)
    try:
        with ExitStack() as stack:
            mine = stack.enter_context(Seat(name, folder / name))
            its = stack.enter_context(Seat(BASELINE, folder / BASELINE))
            _start(mine, row, case, runs, rules, watch_memory=name == "toolkit")
            _start(its, pool, case, runs, rules, watch_memory=False)
            _alternate(row, pool, mine, its, case, runs, pairs, rules)
        if row.measures["inodes"]:
            with Seat(name, folder / name) as reader:
                row.measures |= reader.ask("read", limit=rules.limit, case=case.name, runs=runs)
    except SeatError as error:
        row.problem = str(error)
    summarize(row, pool, case)
    yield pool
    yield row


def _start(
    seat: Seat, row: Row, case: Case, runs: int, rules: Rules, *, watch_memory: bool
) -> None:
    """Start the workers and let them warm up, with all runs where memory is watched."""
    row.measures["start"] = seat.ask("start", limit=rules.limit)["seconds"]
    details: dict[str, Any] = {"limit": rules.limit, "case": case.name}
    if watch_memory and case.watches_memory:
        row.measures |= seat.ask("grow", runs=runs, **details)
    first = seat.ask("run", runs=max(4, runs // _WARM_UP), **details)
    row.measures["first"] = first["wall"]
    seat.pause()


def _alternate(
    row: Row, pool: Row, mine: Seat, its: Seat, case: Case, runs: int, pairs: int, rules: Rules
) -> None:
    turns = ((row, mine), (pool, its))
    digests = {}
    for number in range(pairs):
        for each, seat in turns if number % 2 == 0 else turns[::-1]:
            found = seat.ask("run", limit=rules.limit, case=case.name, runs=runs)
            seat.pause()
            digests[each.contender] = found["digest"]
            each.pairs.append({"wall": found["wall"], "cpu": found["cpu"]})
            each.measures |= {"inodes": found["inodes"], "bytes": found["bytes"]}
        if len(set(digests.values())) > 1:
            raise SeatError("its values are not Pool's")


def summarize(row: Row, pool: Row, case: Case) -> None:
    """Make ratios of the pairs that were measured."""
    for each in (row, pool):
        for kind in ("wall", "cpu") if each.pairs else ():
            each.measures[f"{kind}_seconds"] = min(pair[kind] for pair in each.pairs)
        if each.pairs and case.ideal_seconds is not None:
            ideal = each.runs * case.ideal_seconds / WORKERS
            each.measures["ideal"] = statistics.median(pair["wall"] for pair in each.pairs) / ideal
    # The last pair of a contender that gave up may be half a pair.
    both = list(zip(row.pairs, pool.pairs, strict=False))
    for kind in ("wall", "cpu") if both else ():
        ratios = [mine[kind] / max(its[kind], 0.01) for mine, its in both]
        row.measures[kind] = statistics.median(ratios)
        row.measures[f"{kind}_best"] = min(mine[kind] for mine, _ in both) / max(
            min(its[kind] for _, its in both), 0.01
        )
