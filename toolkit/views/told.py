"""What the driver of a store has said of its sweep: read from the log in the store."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit.views.driver import Driver
from toolkit.views.snapshot import Cost, Span

_LONGEST = 1000  # characters of why a tier waits
_NUMBERS = ("runs", "at_once", "core_hours_left", "core_hours_spent")
_GPU_NUMBERS = ("gpu_hours_left", "gpu_hours_spent")
_ROUNDED = 0.01  # seconds: the log has times in milliseconds
_STALE = 120.0  # seconds after which the word of a driver that cannot be seen counts no more


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What was expected at one moment.

    Attributes
    ----------
    at
        When it was said, in seconds since 1970.
    left
        Seconds from then on.
    to_spend
        Cost of the runs to come.
    """

    at: float
    left: Span | None = None
    to_spend: Cost | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the log says since a sweep was started last.

    Attributes
    ----------
    started
        When, in seconds since 1970; None where the log does not say.
    asked
        Names of the stages that it runs, those included whose results are not kept.
    begun
        Stages that have begun, with the cores and GPUs that one run of theirs holds.
    tiers
        What was said last of each tier of each stage.
    rates
        By stage: runs that ended in a second, in the last 10 s of which it was told.
    outlook
        What was said last of the time that is left.
    is_paused, is_stopping, is_ended
        Whether it hands out nothing for now, or nothing more, and whether it has ended.
    is_asked
        Whether it stops, or has stopped, because somebody asked for it.
    because, error
        Why it ended, and with which error; ``""`` where there was none.
    dashboard_link
        Of Dask, as the driver's host sees it.
    """

    started: float | None = None
    asked: tuple[str, ...] = ()
    begun: Mapping[str, Cost] = field(default_factory=dict)
    tiers: tuple[dict[str, Any], ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    outlook: Outlook | None = None
    is_paused: bool = False
    is_stopping: bool = False
    is_asked: bool = False
    is_ended: bool = False
    because: str = ""
    error: str = ""
    dashboard_link: str | None = None

    def by(self, driver: Driver | None) -> "Told":
        """Return what the process that has the store now said: nothing, if it has just come."""
        if driver is None or driver.is_alive is False:
            return self
        is_its_own = self.started is not None and self.started >= driver.since - _ROUNDED
        return self if is_its_own else Told()

    def left(self, now: float) -> Span | None:
        """Return how long it takes from now on; None where nothing honest can be said."""
        said = self.outlook
        if said is None or said.left is None:
            return None
        age = max(0.0, now - said.at)
        return Span(low=max(0.0, said.left.low - age), high=max(0.0, said.left.high - age))

    def is_fresh(self, now: float) -> bool:
        """Whether the latest word on what is left is young enough where nobody is seen to live."""
        return self.outlook is not None and now - self.outlook.at < _STALE


def told_by(store: Path) -> Told:
    """Return what the log of a store says of the sweep that was started last.

    Anything may stand in a log; what is no number where one belongs is read as nothing said.
    """
    from toolkit.stores.journals.events import FileEvents

    return told(FileEvents(str(store)).read())


def told(events: Iterable[dict[str, Any]]) -> Told:
    """Return the same of events, the oldest first."""
    found = Told()
    tiers: dict[str, dict[str, Any]] = {}
    since: dict[str, float] = {}  # when something was last said of what came back
    begun: dict[str, Cost] = {}
    rates: dict[str, float] = {}
    for event in events:
        kind, stage, at = event["event"], str(event.get("stage")), _moment(event.get("time"))
        if kind == "sweep_started":
            tiers, since, begun, rates = {}, {}, {}, {}
            found = Told(started=at, asked=_asked(event.get("stages")))
        elif kind == "stage_started":
            begun[stage] = Cost(
                core_hours=max(1.0, _number(event.get("threads_of_run"))),
                gpu_hours=_number(event.get("gpus_of_run")),
            )
            since[stage] = at or 0.0
        elif kind == "tiers" and isinstance(event.get("tiers"), dict):
            tiers[stage] = event["tiers"]
        elif kind == "batches" and at is not None:
            if at > since.get(stage, at):
                ended = _number(event.get("done")) + _number(event.get("failed"))
                rates[stage] = ended / (at - since[stage])
            since[stage] = at
        elif kind == "stage_ended":
            rates.pop(stage, None)
        elif kind == "outlook" and at is not None:
            found = replace(found, outlook=_outlook(event, at))
        else:
            found = _steered(found, kind, event)
    return replace(found, tiers=tuple(_tiers(tiers)), begun=begun, rates=rates)


def _steered(before: Told, kind: str, event: dict[str, Any]) -> Told:
    """Return what is known after an event that changes what the sweep is about to do."""
    if kind in ("sweep_paused", "sweep_resumed"):
        return replace(before, is_paused=kind == "sweep_paused")
    if kind == "sweep_stopping":
        return replace(before, is_stopping=True, is_asked=event.get("asked") is True)
    if kind == "sweep_ended":
        because, error = _text(event.get("because")), _text(event.get("error"))
        return replace(before, is_ended=True, because=because, error=error)
    if kind == "cluster_used":
        link = event.get("dashboard")
        return replace(before, dashboard_link=link if isinstance(link, str) else None)
    return before


def _tiers(said: dict[str, dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Yield what was said last of each tier of each stage."""
    for stage, tiers in said.items():
        for name, numbers in tiers.items():
            if isinstance(numbers, dict):
                known: dict[str, Any] = {key: _number(numbers.get(key)) for key in _NUMBERS}
                known |= {key: _number(numbers[key]) for key in _GPU_NUMBERS if key in numbers}
                yield {
                    "stage": stage,
                    "tier": str(name),
                    **known,
                    "waits": _text(numbers.get("waits")),
                }


def _outlook(event: dict[str, Any], at: float) -> Outlook:
    low, high = event.get("low"), event.get("high")
    cores = event.get("core_hours")
    left = to_spend = None
    if _is_number(low) and _is_number(high):
        least = max(0.0, _number(low))
        left = Span(low=least, high=max(least, _number(high)))
    if _is_number(cores):
        to_spend = Cost(core_hours=_number(cores), gpu_hours=_number(event.get("gpu_hours")))
    return Outlook(at=at, left=left, to_spend=to_spend)


def _asked(stages: object) -> tuple[str, ...]:
    if not isinstance(stages, list):
        return ()
    return tuple(str(each.get("stage")) for each in stages if isinstance(each, dict))


def _moment(time: object) -> float | None:
    try:
        return datetime.datetime.fromisoformat(str(time)).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _text(value: object) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> float | int:
    return value if _is_number(value) else 0  # type: ignore[return-value]
