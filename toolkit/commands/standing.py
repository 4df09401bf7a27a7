"""How a store stands: its runs by state, and whether somebody runs it now."""

import contextlib
import shlex
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.commands.origin import origin_of, provenance_of
from toolkit.views.driver import Driver, driver_of
from toolkit.views.plain import printable
from toolkit.views.snapshot import Span, State
from toolkit.views.stored import left_of, state_of
from toolkit.views.told import told_by

STATES = ("done", "failed", "pending", "stale", "blocked")


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
    state, message
        Of the sweep as a whole, as a snapshot has it, and what there is to say of it.
    left
        Seconds until nothing is pending, None where nothing honest can be said.
    job
        Of SLURM, which is to run it; looked for where nobody runs it and runs are pending.
    """

    store: Path
    stages: dict[str, dict[str, Any]]
    driver: Driver | None
    made_by: dict[str, Any]
    tiers: tuple[dict[str, Any], ...] = ()
    job: str | None = None
    state: State = "idle"
    message: str = ""
    left: Span | None = None

    def __str__(self) -> str:
        """Return a table, and who runs it."""
        from toolkit.views.text import duration, table

        headers = ["stage", "runs", *STATES, "computing"]
        rows = [
            [name, *(counts[key] for key in headers[1:-1]), duration(counts["seconds"])]
            for name, counts in self.stages.items()
        ]
        lines = [table(headers, rows, width=1000) if rows else "no runs yet", self.who]
        if self.pending and self.is_running:
            lines[1:1] = filter(None, [self.left_in_words])
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
            "state": self.state,
            "message": self.message,
            "left": None if self.left is None else asdict(self.left),
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

    @property
    def left_in_words(self) -> str:
        """The time until nothing is pending, ``""`` where nothing honest can be said."""
        from toolkit.views.text import between

        return "" if self.left is None else f"{between(self.left.low, self.left.high)} left"

    @property
    def who(self) -> str:
        """Who runs it, or that nobody does."""
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

    driver = driver_of(store)  # before the counts: of one that ends now, these are the last
    stages = {
        str(name): {str(key): value for key, value in counts.items()}
        for name, counts in status(store).to_dict("index").items()
    }
    told = told_by(store)
    pending, total = (sum(each[key] for each in stages.values()) for key in ("pending", "runs"))
    state, message = state_of(driver, told.by(driver), pending=pending, total=total)
    return Standing(
        store=store,
        stages=stages,
        driver=driver,
        made_by=provenance_of(store),
        tiers=told.tiers,
        state=state,
        message=message,
        left=left_of(driver, told.by(driver), pending=pending, now=time.time()),
    )


def look_for_job(standing: Standing) -> Standing:
    """Return the same with the job of SLURM that is to run it, where that is of interest."""
    from toolkit.clusters.queued_driver import queued_driver
    from toolkit.commands.submission import was_submitted

    if standing.is_running or not standing.pending or not was_submitted(standing.store):
        return standing
    return replace(standing, job=queued_driver(standing.store))
