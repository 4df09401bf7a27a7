"""How a store stands: its runs by state, and whether somebody runs it now."""

import contextlib
import shlex
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.commands.origin import origin_of, provenance_of
from toolkit.commands.outcome import printable

STATES = ("done", "failed", "pending", "stale", "blocked")


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The process that has the store: ``is_alive`` is None where that cannot be seen from here."""

    host: str
    pid: int
    since: float
    is_alive: bool | None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What is known of a store at one moment.

    Attributes
    ----------
    store
        Its folder, as it was written.
    stages
        By name, counts of ``runs`` and of each state, and ``seconds`` of computing.
    driver
        Who has it, None if nobody.
    made_by
        Its provenance.
    """

    store: Path
    stages: dict[str, dict[str, Any]]
    driver: Driver | None
    made_by: dict[str, Any]

    def __str__(self) -> str:
        """Return a table, and who runs it."""
        from toolkit.views.text import duration, table

        headers = ["stage", "runs", *STATES, "computing"]
        rows = [
            [name, *(counts[key] for key in headers[1:-1]), duration(counts["seconds"])]
            for name, counts in self.stages.items()
        ]
        lines = [table(headers, rows, width=1000) if rows else "no runs yet", self._driver_line()]
        return printable("\n".join([f"{self.store}", *lines]))

    @property
    def pending(self) -> int:
        """Runs without an outcome."""
        return int(self._sum("pending"))

    @property
    def failed(self) -> int:
        """Runs that failed or were blocked by one that did."""
        return int(self._sum("failed") + self._sum("blocked"))

    @property
    def is_running(self) -> bool:
        """Whether somebody runs the store, as far as can be seen from here."""
        return self.driver is not None and self.driver.is_alive is not False

    @property
    def was_left(self) -> bool:
        """Whether its driver has died and left it, as far as can be seen from here."""
        return self.driver is not None and self.driver.is_alive is False

    def in_one_line(self) -> str:
        """Return the counts, as a log shows them."""
        counts = ", ".join(f"{self._sum(key):,} {key}" for key in STATES if self._sum(key))
        waits = "" if self.is_running or not self.pending else "; not running"
        return printable(f"{self.store}: {counts or 'no runs yet'}{waits}")

    def document(self) -> dict[str, Any]:
        """Return the content of the JSON document."""
        origin = origin_of(self.made_by)
        driver = self.driver
        return {
            "store": str(self.store.absolute()),
            "stages": [{"stage": name, **counts} for name, counts in self.stages.items()],
            "total": {key: self._sum(key) for key in ("runs", *STATES, "seconds")},
            "is_running": self.is_running,
            "driver": None
            if driver is None
            else {
                "host": driver.host,
                "pid": driver.pid,
                "since": driver.since,
                "is_alive": driver.is_alive,
            },
            "sweep": None if origin is None else str(origin.target),
            "created": self.made_by.get("created"),
            "toolkit": self.made_by.get("toolkit"),
        }

    def next_steps(self) -> list[str]:
        """Lines with the commands that one may want next."""
        origin = origin_of(self.made_by)
        typed = "FILE.py:sweep" if origin is None else origin.typed
        lines = []
        if self.pending and not self.is_running:
            script = "" if origin is not None else ", or its script or notebook again"
            lines.append(f"Go on:        toolkit run {typed}{script}")
        if self.failed:
            lines.append(f"What failed:  toolkit errors {shlex.quote(str(self.store))} --group")
        return lines

    def _driver_line(self) -> str:
        import datetime

        driver = self.driver
        if driver is None:
            return "not running"
        who = f"process {driver.pid} on {driver.host}"
        with contextlib.suppress(ValueError, OverflowError, OSError):  # whatever the file says
            since = datetime.datetime.fromtimestamp(driver.since).astimezone()
            who += f", since {since:%Y-%m-%d %H:%M:%S}"
        if driver.is_alive is None:
            return f"running, as it seems: {who} (it cannot be seen from here whether it lives)"
        return f"running: {who}" if driver.is_alive else f"not running: {who} has died"

    def _sum(self, key: str) -> Any:
        return sum(counts[key] for counts in self.stages.values())


def look(store: Path) -> Standing:
    """Return how a store stands now.

    Raises
    ------
    StoreError
        If the folder is no store.
    """
    from toolkit.stores.open import status

    stages = {
        str(name): {str(key): value for key, value in counts.items()}
        for name, counts in status(store).to_dict("index").items()
    }
    return Standing(store=store, stages=stages, driver=_driver(store), made_by=provenance_of(store))


def _driver(store: Path) -> Driver | None:
    from toolkit.stores.lock import process_start, read_holder

    holder = read_holder(str(store))
    if holder is None:
        return None
    is_alive = None
    if holder.host == socket.gethostname():
        is_alive = process_start(holder.pid) == (holder.process_start or None)
    return Driver(host=holder.host, pid=holder.pid, since=holder.since, is_alive=is_alive)
