"""Who runs a sweep, as a thread sees it that only watches: the scheduler is asked now and then."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from toolkit.execution.observation import WorkerSeen

if TYPE_CHECKING:
    from distributed import Client

_EVERY = 3.0  # seconds between two questions
_MOST = 1000  # workers that are told one by one
_PATIENCE = 0.5  # seconds that the first look waits for an answer
_GIVEN_UP = 60.0  # seconds after which a question without an answer is asked again


class Workforce:
    """The workers of a sweep.

    Nobody waits for a scheduler that is busy: what it said last is shown until it answers.

    Parameters
    ----------
    clients
        Those in use, the latest last; it grows when a cluster is started.
    """

    def __init__(self, clients: "Sequence[Client]") -> None:
        self._clients = clients
        self._seen: tuple[WorkerSeen, ...] = ()
        self._asked_at = float("-inf")
        self._answered = threading.Event()
        self._answered.set()
        self._waits_for = ""

    @property
    def waits_for(self) -> str:
        """What is being started, ``""`` where nothing is."""
        return self._waits_for

    @contextlib.contextmanager
    def starting(self, what: str) -> Iterator[None]:
        """Say that a cluster is being started while the body runs."""
        self._waits_for = what
        try:
            yield
        finally:
            self._waits_for = ""

    def look(self) -> tuple[WorkerSeen, ...]:
        """Return the workers as the scheduler named them last; empty before it has."""
        client = self._clients[-1] if self._clients else None
        if client is None or client.status != "running":
            return self._seen if client is not None else ()
        now = time.monotonic()
        is_first = self._asked_at == float("-inf")
        pause = _EVERY if self._answered.is_set() else _GIVEN_UP
        if now - self._asked_at > pause:
            self._asked_at = now
            self._answered.clear()
            if client.loop is not None:
                client.loop.add_callback(self._ask, client)
        if is_first:
            self._answered.wait(_PATIENCE)
        return self._seen

    async def _ask(self, client: "Client") -> None:
        """Ask the scheduler; runs in the client's loop."""
        try:
            said: Any = await client.run_on_scheduler(_workers, most=_MOST)
            self._seen = tuple(WorkerSeen(**each) for each in said)
        except Exception:  # noqa: BLE001 - the cluster's troubles are the engine's to tell
            pass
        finally:
            self._answered.set()


def _workers(most: int, dask_scheduler: Any = None) -> list[dict[str, Any]]:
    """Return what the scheduler knows of its workers; a few hundred bytes each."""
    found = []
    for each in list(dask_scheduler.workers.values())[:most]:
        tags = [name.removeprefix("tier-") for name in each.resources if name.startswith("tier-")]
        found.append(
            {
                "name": str(each.name),
                "host": str(each.host),
                "tier": tags[0] if tags else "",
                "threads": int(each.nthreads),
                "gpus": int(each.resources.get("GPU", 0)),
                "running": min(len(each.processing), int(each.nthreads)),
                "memory": int(each.metrics["memory"]) if "memory" in each.metrics else None,
                "memory_limit": int(each.memory_limit) if each.memory_limit else None,
            }
        )
    return found
