"""A running sweep is steered from outside: by requests that somebody puts into its store."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from toolkit.clusters.demand import SCALE_KEY, TIERS_KEY
from toolkit.execution.requests import Requests
from toolkit.stores.journals.control import Asked, read_requests, remove_request

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger("toolkit")

_EVERY = 1.0  # seconds between two looks
_PATIENCE = 10.0


class Steering:
    """Looks for requests about once a second, in a thread, and has them obeyed.

    Those that are there when it is made were meant for an earlier driver, and are dropped.

    Parameters
    ----------
    store
        Folder of the store, None for one in memory: nobody can ask.
    requests
        What the engine obeys.
    client
        Returns the client of the cluster in use, None where there is none.
    note
        Takes an event of the sweep's log.
    """

    def __init__(
        self,
        store: str | None,
        requests: Requests,
        *,
        client: "Callable[[], Client | None]",
        note: Callable[..., None],
    ) -> None:
        self._store = store
        self._requests = requests
        self._client = client
        self._note = note
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_warned = False
        self._scaled: set[str] = set()
        if store is not None:
            for name, asked in read_requests(store).items():
                if asked is not None:
                    remove_request(store, name)

    def __enter__(self) -> "Steering":
        if self._store is not None:
            self._thread = threading.Thread(target=self._look, name="toolkit-control", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(_PATIENCE)  # its cluster may have stopped answering
        is_idle = self._thread is None or not self._thread.is_alive()
        if self._scaled and is_idle:
            self._scale(dict.fromkeys(self._scaled))  # for the next sweep on this cluster

    def _look(self) -> None:
        assert self._store is not None
        while not self._ended.wait(_EVERY):
            for name, asked in read_requests(self._store).items():
                if asked is None:
                    self._warn(name)
                    continue
                because = self._obey(asked)
                event = "request_obeyed" if because is None else "request_refused"
                told = {} if because is None else {"because": because}
                self._note(event, request=name, asked=asked.to_json(), **told)
                remove_request(self._store, name)

    def _obey(self, asked: Asked) -> str | None:
        """Do what is asked; return why it cannot be done, if so."""
        if asked.stop:
            self._requests.ask_to_stop(now=asked.now)
        return self._scale(asked.scale) if asked.scale else None

    def _scale(self, wanted: "Any") -> str | None:
        client = self._client()
        if client is None or client.status != "running":
            return "the sweep uses no cluster"
        try:
            tiers: Any = client.get_metadata(TIERS_KEY, default=None) or []
            known = [str(tier["name"]) for tier in tiers]
            if not known:
                return "the number of its cluster's workers is fixed"
            if unknown := sorted(set(wanted) - set(known)):
                return f"its cluster has no tier {', '.join(unknown)}; it has {', '.join(known)}"
            for tier, jobs in wanted.items():
                client.set_metadata([*SCALE_KEY, tier], jobs)
                self._scaled.add(tier)
        except Exception as error:  # noqa: BLE001 - the cluster's troubles are the engine's to tell
            return f"its cluster does not answer: {type(error).__name__}"
        return None

    def _warn(self, name: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%s: a request is not understood, and ignored: %s", self._store, name)
