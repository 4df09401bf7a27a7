"""How a store stands: its runs by state, and whether somebody runs it now."""

import contextlib
import shlex
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.commands.origin import origin_of, provenance_of
from toolkit.views.plain import printable

_LONGEST = 1000  # characters of why a tier waits
_TIER_NUMBERS = ("runs", "at_once", "core_hours_left", "core_hours_spent")
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
    tiers
        What its driver said last of each tier of its cluster, with the name of the stage.
    job
        Of SLURM, which is to run it; looked for where nobody runs it and runs are pending.
    """

    store: Path
    stages: dict[str, dict[str, Any]]
    driver: Driver | None
    made_by: dict[str, Any]
    tiers: tuple[dict[str, Any], ...] = ()
    job: str | None = None

    def __str__(self) -> str:
        """Return a table, and who runs it."""
        from toolkit.views.text import duration, table

        headers = ["stage", "runs", *STATES, "computing"]
        rows = [
            [name, *(counts[key] for key in headers[1:-1]), duration(counts["seconds"])]
            for name, counts in self.stages.items()
        ]
        lines = [table(headers, rows, width=1000) if rows else "no runs yet", self._driver_line()]
        return printable("\n".join([f"{self.store}", *lines, *self._tier_lines()]))

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
        waits = "" if self.is_running or not self.pending else f"; {self._waiting()}"
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
            "tiers": list(self.tiers),
            "job": self.job,
        }

    def next_steps(self) -> list[str]:
        """Lines with the commands that one may want next."""
        origin = origin_of(self.made_by)
        typed = "FILE.py:sweep" if origin is None else origin.typed
        lines = []
        if self.job is not None:
            lines.append(f"In the queue: squeue --job {self.job}")
        elif self.pending and not self.is_running:
            script = "" if origin is not None else ", or its script or notebook again"
            lines.append(f"Go on:        toolkit run {typed}{script}")
        if self.failed:
            lines.append(f"What failed:  toolkit errors {shlex.quote(str(self.store))} --group")
        return lines

    def _tier_lines(self) -> list[str]:
        lines = []
        for each in self.tiers:
            if not self.is_running or not (each["runs"] or each["core_hours_spent"]):
                continue
            left = f"{each['runs']:,} runs left, {each['core_hours_left'] or 0:.3g} core-hours"
            there = f"{each['at_once']:,} at once" if each["at_once"] else "waits for a worker"
            there += f" ({each['waits']})" if each["waits"] else ""
            spent = f"{each['core_hours_spent'] or 0:.3g} core-hours spent"
            # It was said some seconds ago.
            is_over = self.stages.get(each["stage"], {"pending": None})["pending"] == 0
            said = f"{left}, {there}" if each["runs"] and not is_over else "nothing left"
            lines.append(f"  tier {each['tier']} ({each['stage']}): {said}; {spent}")
        return lines

    def _driver_line(self) -> str:
        import datetime

        driver = self.driver
        if driver is None:
            return self._waiting()
        who = f"process {driver.pid} on {driver.host}"
        with contextlib.suppress(ValueError, OverflowError, OSError):  # whatever the file says
            since = datetime.datetime.fromtimestamp(driver.since).astimezone()
            who += f", since {since:%Y-%m-%d %H:%M:%S}"
        if driver.is_alive is None:
            return f"running, as it seems: {who} (it cannot be seen from here whether it lives)"
        if driver.is_alive:
            return f"running: {who}"
        return f"{self._waiting()}: {who} has died"

    def _waiting(self) -> str:
        return "not running" if self.job is None else f"not running, job {self.job} is to run it"

    def _sum(self, key: str) -> Any:
        return sum(counts[key] for counts in self.stages.values())


def look(store: Path) -> Standing:
    """Return how a store stands now.

    Raises
    ------
    StoreError
        If the folder is no store.
    """
    from toolkit.stores.reading.open import status

    stages = {
        str(name): {str(key): value for key, value in counts.items()}
        for name, counts in status(store).to_dict("index").items()
    }
    return Standing(
        store=store,
        stages=stages,
        driver=_driver(store),
        made_by=provenance_of(store),
        tiers=tuple(_tiers(store)),
    )


def look_for_job(standing: Standing) -> Standing:
    """Return the same with the job of SLURM that is to run it, where that is of interest."""
    from toolkit.clusters.queued_driver import queued_driver
    from toolkit.commands.submission import was_submitted

    if standing.is_running or not standing.pending or not was_submitted(standing.store):
        return standing
    return replace(standing, job=queued_driver(standing.store))


def _tiers(store: Path) -> Iterator[dict[str, Any]]:
    """Yield what the log says last of each tier of each stage."""
    from toolkit.stores.journals.events import FileEvents

    said: dict[str, dict[str, Any]] = {}
    for event in FileEvents(str(store)).read():
        if event["event"] == "sweep_started":
            said = {}
        elif event["event"] == "tiers" and isinstance(event.get("tiers"), dict):
            said[str(event.get("stage"))] = event["tiers"]
    for stage, tiers in said.items():
        for name, numbers in tiers.items():
            if isinstance(numbers, dict):
                known = {key: _number(numbers.get(key)) for key in _TIER_NUMBERS}
                waits = numbers.get("waits")
                said_so = waits[:_LONGEST] if isinstance(waits, str) else ""
                yield {"stage": stage, "tier": str(name), **known, "waits": said_so}


def _number(value: object) -> float | int:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else 0  # type: ignore[return-value]


def _driver(store: Path) -> Driver | None:
    from toolkit.stores.files.lock import process_start, read_holder

    holder = read_holder(str(store))
    if holder is None:
        return None
    is_alive = None
    if holder.host == socket.gethostname():
        is_alive = process_start(holder.pid) == (holder.process_start or None)
    return Driver(host=holder.host, pid=holder.pid, since=holder.since, is_alive=is_alive)
