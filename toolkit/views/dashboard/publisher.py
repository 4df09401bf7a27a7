"""On the driver: posts how a sweep stands to the scheduler that its runs are on."""

import contextlib
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode, urljoin
from weakref import WeakKeyDictionary

from toolkit.views.dashboard.board import HELLO, PAGE, POST, WANTED, View
from toolkit.views.snapshot import Snapshot

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger("toolkit")

_FIRST_SECONDS = 0.3
_EVERY_SECONDS = 1.0
_RAREST_SECONDS = 10.0
_SHARE = 0.005  # of one core, while nobody looks
_SHARE_WATCHED = 0.1
_PATIENCE = 5.0
_LAST_SECONDS = 3.0  # that the end of a sweep waits for its last word to arrive
_TRIES = 3


class Source(Protocol):
    """What is posted of a sweep."""

    title: str

    @property
    def client(self) -> "Client | None":
        """The client that it runs on, None while it runs in this process."""

    def snapshot(self) -> Snapshot:
        """Return how it stands."""

    def views(self) -> Sequence[View]:
        """Return what can be drawn."""

    def draw(self, view: View) -> Mapping[str, Any]:
        """Return one map."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the page of a scheduler is: ``link`` holds the key, where one is asked for.

    ``is_seen`` says whether there is one: a scheduler without a dashboard has the JSON only.
    """

    link: str | None
    key: str | None
    is_seen: bool = True


_places: "WeakKeyDictionary[Client, Place | None]" = WeakKeyDictionary()


def place_of(client: "Client") -> Place | None:
    """Put the page on a scheduler, once; return where it is.

    Returns
    -------
    Place or None
        None where the scheduler refuses plugins, which is logged once.
    """
    if client not in _places:
        try:
            _places[client] = _install(client)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sweep goes on without
            _places[client] = None
            why = str(error).strip().splitlines()
            logger.warning(
                "the sweep has no page on the Dask dashboard, for its scheduler refuses the plugin "
                "that makes it; progress in notebooks and terminals works as ever: %s",
                f"{type(error).__name__}: {why[0]}" if why else type(error).__name__,
            )
    return _places[client]


def _install(client: "Client") -> Place:
    from toolkit.views.dashboard.plugin import SweepPages

    client.register_plugin(SweepPages())
    told: Any = _ask(client, HELLO)
    if told["page"] is None:
        logger.info("the sweep has no page on the Dask dashboard: %s", told["why"])
    return Place(link=_link(client, told), key=told["key"], is_seen=told["page"] is not None)


def _link(client: "Client", told: Mapping[str, str | None]) -> str | None:
    dashboard = client.dashboard_link
    if told["page"] is None or not dashboard:
        return None
    link = urljoin(dashboard, PAGE.strip("/"))
    return link if told["key"] is None else f"{link}?{urlencode({'key': told['key']})}"


def _ask(dask: "Client", handler: str, /, **told: Any) -> Any:
    return dask.sync(getattr(dask.scheduler, handler), callback_timeout=_PATIENCE, **told)


class Publisher:
    """Posts from a thread of its own, at most once a second; only at its end a sweep waits for it.

    It takes a small share of one core: the more a look costs, the rarer it looks. Maps are drawn
    while somebody looks at them, and at the end.

    Parameters
    ----------
    sweep
        Identifies it among all sweeps of the scheduler.
    source
        What is posted.
    """

    def __init__(self, sweep: str, source: Source) -> None:
        self.sweep = sweep
        self._source: Source | None = source
        self._link: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="toolkit-page", daemon=True)
        self._failed = 0
        self._wanted: tuple[View, ...] = ()
        self.posts = 0
        self.seconds = 0.0

    def begin(self) -> None:
        """Post from now on."""
        self._thread.start()

    def end(self) -> None:
        """Post how the sweep has ended, and no more."""
        self._ended.set()
        self._thread.join(_LAST_SECONDS)
        with contextlib.suppress(Exception):  # a view never harms a sweep
            self._link = self.link
        self._source = None  # it refers to the job, and with it to all that the sweep holds

    @property
    def link(self) -> str | None:
        """Address of the page, None where there is none."""
        source = self._source
        if source is None:
            return self._link
        client = source.client
        if (
            client is None
            or getattr(client, "status", None) != "running"
            or (place := place_of(client)) is None
        ):
            return None
        return place.link

    def _run(self) -> None:
        due = 0.0
        wait = _FIRST_SECONDS
        while not self._ended.wait(wait):
            began = time.thread_time()
            wait = _EVERY_SECONDS
            if time.monotonic() < due and not self._is_wanted():
                continue
            self._post(is_last=False)
            took = time.thread_time() - began
            self.seconds += took
            share = _SHARE_WATCHED if self._wanted else _SHARE
            pause = min(took / share, _RAREST_SECONDS)
            if self.posts > 2:  # the first import what they need, and put the page there
                due = time.monotonic() + pause - _EVERY_SECONDS / 2
        self._post(is_last=True)

    def _is_wanted(self) -> bool:
        """Whether somebody looks now at what was not drawn before: cheap to ask."""
        before = set(self._wanted)
        try:
            client = None if self._source is None else self._source.client
            if (
                client is None
                or getattr(client, "status", None) != "running"
                or self._failed >= _TRIES
            ):
                return False
            self._wanted = _views(_ask(client, WANTED, sweep=self.sweep))
        except Exception:  # noqa: BLE001 - the next post meets the same, and tells it
            return False
        return not before.issuperset(self._wanted)

    def _post(self, *, is_last: bool) -> None:
        try:
            source = self._source
            client = None if source is None else source.client
            if source is None or client is None or getattr(client, "status", None) != "running":
                return
            if self._failed >= _TRIES:
                return
            place = place_of(client)
            if place is None:
                self._failed = _TRIES
                return
            views = tuple(source.views()) if place.is_seen else ()  # the JSON has no maps
            drawn = views if is_last else [view for view in self._wanted if view in views]
            wanted = _ask(
                client,
                POST,
                sweep=self.sweep,
                title=source.title,
                client=client.id,
                document=source.snapshot().document(),
                views=views,
                maps=[(view, source.draw(view)) for view in drawn],
            )
            self._wanted = _views(wanted)
            self._failed = 0
            self.posts += 1
        except Exception as error:  # noqa: BLE001 - a view never harms a sweep
            self._failed += 1
            if self._failed == _TRIES:
                logger.warning(
                    "the sweep's page on the Dask dashboard hears no more of it: %s: %s",
                    type(error).__name__,
                    error,
                )


def _views(found: Sequence[Sequence[str]]) -> tuple[View, ...]:
    return tuple((str(stage), str(x), str(y)) for stage, x, y in found)
