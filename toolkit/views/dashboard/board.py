"""On the scheduler: what drivers post of their sweeps, until the scheduler ends."""

import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

PAGE = "/individual-sweep"
STATUS = "/sweep/status.json"
POST, WANTED, HELLO = "toolkit_sweep_post", "toolkit_sweep_wanted", "toolkit_sweep_hello"
"""The scheduler's handlers: a driver posts, asks what is looked at, and where the page is."""

COOKIE = "toolkit-sweep"

MOST_SWEEPS = 10
_LOOKS_FOR = 5.0  # seconds after which nobody looks any more who did not ask again

View = tuple[str, str, str]
"""What a map shows: a stage, the dim along x, and the dim along y or ``""``."""


@dataclass(frozen=True, kw_only=True)
class Posted:
    """The latest that a driver posted of one sweep.

    Attributes
    ----------
    sweep
        Identifies it.
    title
        What people call it.
    client
        Id of the Dask client that it runs on.
    document
        Of its snapshot, see :meth:`toolkit.views.snapshot.Snapshot.document`.
    views
        What can be drawn, the best first.
    maps
        What was drawn lately, see :class:`toolkit.views.dashboard.maps.Map`.
    change
        Counts up with all that is posted on this scheduler.
    """

    sweep: str
    title: str
    client: str
    document: Mapping[str, Any]
    views: tuple[View, ...] = ()
    maps: Mapping[View, Mapping[str, Any]] = field(default_factory=dict)
    change: int = 0

    @property
    def is_ended(self) -> bool:
        """Whether its driver has posted its last."""
        return self.document.get("state") not in ("starting", "running", "paused", "stopping")


class Board:
    """Holds what was posted; the page and the JSON show it.

    Parameters
    ----------
    is_open
        Whether everybody who reaches the port may see the values that runs were given: labels,
        messages of errors, tracebacks. Else who has the :attr:`key` may.

    Attributes
    ----------
    key
        Opens the values.
    """

    def __init__(self, *, is_open: bool) -> None:
        self.is_open = is_open
        self.key = secrets.token_urlsafe(18)
        self._sweeps: dict[str, Posted] = {}  # in the order in which they began
        self._wanted: dict[str, dict[View, float]] = {}
        self._change = 0

    @property
    def cookie(self) -> str:
        """Name of the cookie that keeps the key: another one for each scheduler of a machine."""
        return f"{COOKIE}-{self.key[:6]}"

    def admits(self, key: str) -> bool:
        """Whether who gives this key may see values."""
        return self.is_open or hmac.compare_digest(key.encode(), self.key.encode())

    def sweeps(self) -> tuple[Posted, ...]:
        """Return those that are known, the newest first."""
        return tuple(reversed(self._sweeps.values()))

    def find(self, sweep: str = "") -> Posted | None:
        """Return a sweep, the newest where none is named or it is not known; None without any."""
        newest = next(iter(self.sweeps()), None)
        return self._sweeps.get(sweep, newest)

    def post(
        self,
        *,
        sweep: str,
        title: str,
        client: str,
        document: Mapping[str, Any],
        views: Sequence[Sequence[str]] = (),
        maps: Sequence[tuple[Sequence[str], Mapping[str, Any]]] = (),
    ) -> list[View]:
        """Take what a driver posts; return the views that somebody looks at.

        Maps that are not posted anew stay.
        """
        before = self._sweeps.get(sweep)
        kept = dict(before.maps) if before is not None else {}
        kept.update((_view(view), each) for view, each in maps)
        self._put(
            Posted(
                sweep=sweep,
                title=title,
                client=client,
                document=document,
                views=tuple(map(_view, views)),
                maps=kept,
            )
        )
        while len(self._sweeps) > MOST_SWEEPS:
            oldest = next(iter(self._sweeps))
            del self._sweeps[oldest]
            self._wanted.pop(oldest, None)
        return self.wanted(sweep)

    def lose(self, client: str) -> None:
        """Take note that a client is gone: the sweeps that it has not ended are interrupted."""
        for each in list(self._sweeps.values()):
            if each.client == client and not each.is_ended:
                self._put(replace(each, document=_interrupted(each.document)))

    def want(self, sweep: str, view: View) -> None:
        """Take note that somebody looks at this now."""
        self._wanted.setdefault(sweep, {})[view] = time.monotonic()

    def wanted(self, sweep: str) -> list[View]:
        """Return what somebody has looked at within the last seconds."""
        since = time.monotonic() - _LOOKS_FOR
        found = self._wanted.get(sweep, {})
        for view in [view for view, at in found.items() if at < since]:
            del found[view]
        return list(found)

    def _put(self, posted: Posted) -> None:
        self._change += 1
        self._sweeps[posted.sweep] = replace(posted, change=self._change)


def without_values(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of a snapshot without what runs were given and what they said."""
    found = {name: document[name] for name in _COUNTS if name in document}
    failures = [{**each, **_SILENT_FAILURE} for each in document.get("failures", ())]
    slowest = [{**each, "labels": {}} for each in document.get("slowest", ())]
    known = [
        [{name: each[name] for name in names if name in each} for each in kinds]
        for names, kinds in ((_FAILURE, failures), (_SLOW_RUN, slowest))
    ]
    return {**found, "message": "", "failures": known[0], "slowest": known[1]}


# What may be shown to everybody is named, so that what is added is not.
_COUNTS = (
    *("schema", "version", "at", "state", "stages", "tiers", "workers", "n_failure_kinds"),
    *("elapsed", "left", "spent", "to_spend", "store", "dashboard_link", "is_live", "counts"),
)
_SILENT_FAILURE = {"message": "", "traceback": "", "labels": {}, "reproduce": ""}
_FAILURE = (
    *("stage", "exception", "where", "count", "runs", "reason", "host", "tier"),
    *_SILENT_FAILURE,
)
_SLOW_RUN = ("stage", "run", "seconds", "labels", "tier", "is_running")


def _view(parts: Sequence[str]) -> View:
    stage, x, y = parts
    return str(stage), str(x), str(y)


def _interrupted(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a driver told last, as it stands when the driver is gone."""
    stages = [
        {**stage, "rate": None, "counts": {**stage["counts"], "running": 0}}
        for stage in document["stages"]
    ]
    tiers = [{**tier, "running": 0} for tier in document.get("tiers", ())]
    return {
        **document,
        "state": "interrupted",
        "message": "The driver that ran it has left Dask's scheduler before the end.",
        "stages": stages,
        "tiers": tiers,
        "counts": {**document["counts"], "running": 0},
        "left": None,
    }
