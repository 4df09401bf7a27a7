"""When a sweep was where, as its store tells: its log of events, and journals that are left."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import ToolkitError
from toolkit.run_status import Status

Kind = Literal["stage", "worker", "run", "runs", "running"]

_MOST_RECORDS = 200_000  # of a journal
_MARKED = {
    "run_failed": "run failed",
    "batch_lost": "worker died",
    "run_climbed": "run climbed",
}


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that went on from one time to another, in seconds since 1970."""

    lane: str
    kind: Kind
    begin: float
    end: float
    text: str = ""
    status: Status | None = None


@dataclass(frozen=True, kw_only=True)
class Busy:
    """How many threads were busy in a stage between two notes of its batches, on average."""

    lane: str
    begin: float
    end: float
    threads: float


@dataclass(kw_only=True)
class Account:
    """What is known of one start of a sweep.

    Attributes
    ----------
    marks
        What happened, in words: lane and time of each.
    """

    begin: float
    end: float
    spans: list[Span] = field(default_factory=list)
    busy: list[Busy] = field(default_factory=list)
    marks: dict[str, list[tuple[str, float]]] = field(default_factory=dict)


def account_of(path: str | os.PathLike[str], start: int) -> Account:
    """Return what a store knows of one start of its sweep.

    Raises
    ------
    StoreError
        If there is no store at the path.
    ToolkitError
        If there is no such start.
    """
    from toolkit.stores.zarr_store import ZarrStore

    store = ZarrStore.read(os.path.expanduser(path))
    events = [(_seconds(each), each) for each in store.events.read()]
    starts = [number for number, (_, each) in enumerate(events) if each["event"] == "sweep_started"]
    if not starts:
        raise ToolkitError(f"The log of {os.fspath(path)} knows of no start of a sweep.")
    if not -len(starts) <= start < len(starts):
        raise ToolkitError(
            f"The log of {os.fspath(path)} knows of {len(starts)} starts of its sweep: start= is "
            f"from 0 to {len(starts) - 1}, or -1 for the last."
        )
    bounds = [*starts, len(events)]
    number = start % len(starts)
    ours = events[bounds[number] : bounds[number + 1]]
    spans = (
        list(_process_spans(str(store.path), store.identity)) if number == len(starts) - 1 else []
    )
    account = Account(
        begin=ours[0][0],
        end=max(ours[-1][0], *(span.end for span in spans), ours[0][0]),
    )
    account.spans += _worker_spans(ours, account.end)
    account.spans += spans
    _tell_stages(account, ours)
    return account


def _tell_stages(account: Account, events: list[tuple[float, dict[str, Any]]]) -> None:
    """Add when each stage went on, how busy it was, and what happened in it."""
    begun: dict[str, tuple[float, float]] = {}
    for time, event in events:
        lane = str(event.get("stage", ""))
        match event["event"]:
            case "stage_started":
                begun[lane] = (time, time)
            case "batches" if lane in begun:
                first, before = begun[lane]
                spent = float(event.get("run_seconds") or 0.0)
                if time > before:
                    account.busy.append(
                        Busy(lane=lane, begin=before, end=time, threads=spent / (time - before))
                    )
                begun[lane] = (first, time)
            case "stage_ended" if lane in begun:
                begin, _ = begun.pop(lane)
                text = f"{event.get('done', 0):,} done"
                if event.get("failed"):
                    text += f", {event['failed']:,} failed"
                account.spans.append(
                    Span(lane=lane, kind="stage", begin=begin, end=time, text=text)
                )
            case name if name in _MARKED and lane:
                account.marks.setdefault(_MARKED[name], []).append((lane, time))
    for lane, (begin, _) in begun.items():
        account.spans.append(
            Span(lane=lane, kind="stage", begin=begin, end=account.end, text="not ended")
        )


def _worker_spans(events: list[tuple[float, dict[str, Any]]], end: float) -> Iterator[Span]:
    """Yield when each worker was there."""
    there: dict[str, float] = {}
    for time, event in events:
        match event["event"]:
            case "cluster_used":
                for address in event.get("addresses") or ():
                    there.setdefault(str(address), time)
            case "worker_joined":
                there.setdefault(str(event.get("worker")), time)
            case "worker_left":
                address = str(event.get("worker"))
                if address in there:
                    yield Span(lane=address, kind="worker", begin=there.pop(address), end=time)
    for address, begin in there.items():
        yield Span(lane=address, kind="worker", begin=begin, end=end)


def _process_spans(path: str, identity: str) -> Iterator[Span]:
    """Yield the runs that journals still tell of, by the process that made them."""
    from toolkit.stores.files.storage import JOURNALS
    from toolkit.stores.journals.journal import read_page
    from toolkit.stores.journals.tails import journal_names

    for name in sorted(journal_names(path)):
        file = Path(path, JOURNALS, name)
        page = read_page(str(file))
        if page is not None and page.identity == identity:
            yield from _runs_of(file, f"{page.host} {page.pid}")


def _runs_of(file: Path, lane: str) -> Iterator[Span]:
    from toolkit.stores.journals.records import Block, Started

    begun: dict[tuple[str, int], float] = {}
    last = 0.0
    for record in _records(file):
        time = record.origin.time
        last = max(last, time)
        stage = record.origin.stage
        if isinstance(record, Started):
            begun[stage, record.run] = time
        elif isinstance(record, Block):
            spent = float(record.seconds.sum())
            first = begun.pop((stage, record.lo), None) if record.n == 1 else None
            failed = int((record.status == Status.FAILED).sum())
            yield Span(
                lane=lane,
                kind="run" if record.n == 1 else "runs",
                begin=min(time, time - spent if first is None else max(first, time - spent)),
                end=time,
                text=f"{stage} {record.lo}" if record.n == 1 else f"{stage}: {record.n:,} runs",
                status=Status.FAILED if failed == record.n else Status.DONE,
            )
    for (stage, run), time in begun.items():
        yield Span(
            lane=lane, kind="running", begin=time, end=max(last, time), text=f"{stage} {run}"
        )


def _records(file: Path) -> Iterator[Any]:
    """Yield the records of a journal one by one: read together, single runs lose their times."""
    from toolkit.stores.files.inside import open_plain
    from toolkit.stores.journals.journal import PAGE
    from toolkit.stores.journals.records import Stages
    from toolkit.stores.journals.scanning import scan, whole

    try:
        with open(file, "rb", opener=open_plain) as opened:
            data = memoryview(opened.read())[PAGE:]
    except OSError:  # folded and deleted since it was listed
        return
    stages = Stages()
    at = 0
    for _ in range(_MOST_RECORDS):
        length = whole(data[at : at + 64])
        if not length or at + length > len(data):
            return
        yield from scan(data[at : at + length], stages)
        at += length


def packed(spans: list[Span]) -> list[list[Span]]:
    """Return spans of a lane in as few rows as let none lie over another: threads of a process."""
    rows: list[list[Span]] = []
    for span in sorted(spans, key=lambda each: each.begin):
        for row in rows:
            if row[-1].end <= span.begin + 1e-4 + 0.02 * (span.end - span.begin):
                row.append(span)
                break
        else:
            rows.append([span])
    return rows


def _seconds(event: dict[str, Any]) -> float:
    try:
        return datetime.fromisoformat(str(event["time"])).timestamp()
    except (KeyError, ValueError):
        return 0.0
