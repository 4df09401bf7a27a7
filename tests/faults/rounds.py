"""One round: a fresh store, a disturbance, and a verdict on what is there in the end."""

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import injection
import numpy as np
import studies
from lab import Cluster, Lab, Process
from ledgers import Ledger
from truths import truths

POLL_SECONDS = 0.1


@dataclass
class Verdict:
    """What a round has shown.

    Parameters
    ----------
    lost
        Acknowledged runs that were pending afterwards, or ran again.
    repeated, allowed
        Calls beyond the first of each run, and how many the fault may cost.
    wrong
        Runs whose values or status differ from those of an undisturbed sweep, and readings that
        were refused.
    has_hit
        Whether the fault came while the product was doing what it is about.
    struck
        What a process was doing when a point of kill ended it: ``{phase: {when: 1}}``.
    notes
        What is wrong, in words.
    """

    lost: int = 0
    repeated: int = 0
    allowed: int = 0
    wrong: int = 0
    has_hit: bool = True
    struck: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost or wrong, and no more repeated than may be."""
        return not (self.lost or self.wrong or self.repeated > self.allowed or self.notes)


class Round:
    """A store that is disturbed, with everything that is known of it.

    Parameters
    ----------
    lab
        Where processes come from.
    rng
        The only source of chance in a round.
    kind
        Of study.
    """

    def __init__(self, lab: Lab, rng: np.random.Generator, kind: str, folder: Path) -> None:
        self.lab, self.rng, self.kind, self.folder = lab, rng, kind, folder
        self.store = folder / "s.zarr"
        self.calls = folder / "calls"
        self.calls.touch()
        self.point_file = folder / "point"
        self.log = folder / "log"
        self.log.touch()
        found = truths(kind, lab)
        self.ledgers = [Ledger(*each) for each in zip(studies.PARTS[kind], found, strict=True)]
        self.verdict = Verdict()
        self.victims = 0  # processes that may have been in the middle of a run
        self.n_runs = sum(ledger.truth.n_runs for ledger in self.ledgers)
        self.drivers: list[Process] = []
        self._n_commands = 0
        self._judged: Verdict | None = None
        self._lock = threading.Lock()

    def driver(self, cluster: Cluster | None = None, **request: Any) -> Process:
        """Start a driver of the study."""
        number = len(self.drivers)
        process = self.lab.fork(
            role="driver",
            log=self.log,
            outcome=self.folder / f"outcome-{number}",
            kind=self.kind,
            store=str(request.pop("store", self.store)),
            calls=str(self.calls),
            batches=str(self.folder / f"batches-{number}"),
            client=None if cluster is None else cluster.address,
            point_file=str(self.point_file),
            **request,
        )
        self.drivers.append(process)
        return process

    def finish(self, cluster: Cluster | None = None, **request: Any) -> None:
        """Start a driver that nothing disturbs, and have it end well."""
        injection.disarm(self.point_file)
        driver = self.driver(cluster, **request)
        driver.finish()
        self.must_end_well(driver)

    def command(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run ``toolkit`` with these arguments; return its exit code and the JSON it wrote."""
        self._n_commands += 1
        output = self.folder / f"command-{self._n_commands}"
        process = self.lab.fork(
            role="command",
            log=self.log,
            outcome=self.folder / f"{output.name}.code",
            output=str(output),
            folder=str(self.folder),
            arguments=arguments,
        )
        process.finish(f"toolkit {arguments[0]}")
        outcome = process.outcome
        try:
            found: dict[str, Any] = json.loads(output.read_text())
        except (OSError, ValueError):
            found = {}
        return -1 if outcome is None else outcome["code"], found

    def must_end_well(self, driver: Process) -> None:
        """Note if a driver did not end, or with an error."""
        outcome = driver.outcome
        if outcome is None or outcome["error"] is not None:
            said = "it died" if outcome is None else outcome["error"]
            self.complain(f"a driver that nothing disturbed: {said}")

    def complain(self, note: str, count: int = 1) -> None:
        """Note that something is wrong, with so many runs; each reader sees it again."""
        with self._lock:
            if note not in self.verdict.notes:
                self.verdict.notes.append(note)
                self.verdict.wrong += count

    # ---- what is stored

    def call_counts(self) -> list[np.ndarray]:
        """Return how often each run of each stage was called, by its id."""
        found = re.findall(rb"\n(\d+) (\d+) (\d+) ", self.calls.read_bytes())
        lines = np.array(found, np.int64).reshape(-1, 3)
        counts = []
        for number, ledger in enumerate(self.ledgers):
            labels = lines[lines[:, 0] == number, 1 : 1 + len(ledger.part.dims)]
            ids = ledger.truth.ids(*labels.T)
            counts.append(np.bincount(ids, minlength=ledger.truth.n_runs))
        return counts

    def look(self) -> bool:
        """Read the store as users do; note what is wrong. Return whether there is a store."""
        store = self.store
        with self._lock:  # another thread may see more than we, and sooner
            before = [ledger.acknowledged.copy() for ledger in self.ledgers]
        is_there = False
        for number, ledger in enumerate(self.ledgers):
            try:
                sight = ledger.look(store)
            except Exception as error:  # noqa: BLE001  (noted)
                self.complain(f"a reader: {type(error).__name__}: {error}")
                continue
            if sight is None:
                continue
            is_there = True
            for words, count in sight.faults:
                self.complain(words, count)
            with self._lock:
                lost = int((before[number] & ~sight.done).sum())
                if lost:
                    self.verdict.lost = max(self.verdict.lost, lost)
                    note = f"runs of {ledger.part.stage} were done and are not any more"
                    if note not in self.verdict.notes:
                        self.verdict.notes.append(note)
                new = sight.done & ~ledger.acknowledged
                if new.any():
                    ledger.called_then[new] = self.call_counts()[number][new]
                    ledger.acknowledged |= sight.done
        return is_there

    @contextlib.contextmanager
    def read_all_the_while(self) -> Iterator[None]:
        """Look again and again in a thread of its own."""
        stop = threading.Event()

        def poll() -> None:
            pause = POLL_SECONDS
            while not stop.wait(pause):
                begun = time.thread_time()
                self.look()
                pause = max(POLL_SECONDS, 2 * (time.thread_time() - begun))

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def forget(self) -> None:
        """Acknowledge anew, from what is there now: what was stored has been damaged."""
        counts = self.call_counts()
        for ledger in self.ledgers:
            ledger.acknowledged[:] = False
        self.look()
        for ledger, called in zip(self.ledgers, counts, strict=True):
            ledger.allowed += int(called[~ledger.acknowledged].sum())

    def has_struck(self, point_file: Path) -> bool:
        """Note whether a process has died at the point that was armed, and where."""
        found = injection.fired(point_file)
        self.verdict.has_hit = found is not None
        phase, when = (found["phase"], found["when"]) if found else ("", "")
        if found:
            self.verdict.struck.setdefault(phase, {})[when] = 1
        return self.verdict.has_hit

    def judge_early(self) -> Verdict:
        """Judge before the round is over, for a store that goes with it."""
        self._judged = self.judge()
        return self._judged

    def judge(self) -> Verdict:
        """Say what became of the runs, once all is over."""
        verdict = self.verdict
        if self._judged is not None:
            return self._judged
        if not self.look():
            self.complain("there is no store in the end")
            return verdict
        for ledger in self.ledgers:
            for words, count in ledger.statuses(self.store):
                self.complain(words, count)
        largest = self.largest_batch()
        verdict.allowed = sum(ledger.allowed for ledger in self.ledgers)
        verdict.allowed += self.victims * (largest if self._is_fast else 1)
        for ledger, called in zip(self.ledgers, self.call_counts(), strict=True):
            again = int((called - ledger.called_then)[ledger.acknowledged].sum())
            if again:
                verdict.lost += again
                verdict.notes.append(f"{again} runs were done and ran again")
            is_counted = called > 0
            is_counted[list(ledger.failed)] = False
            repeated = int((called - 1)[is_counted].sum())
            verdict.repeated += repeated
            most = ledger.allowed + self.victims * (1 if ledger.part.is_slow else largest)
            if repeated > most:
                stage = ledger.part.stage
                verdict.notes.append(f"{repeated} runs of {stage} repeated, {most} allowed")
            for words, count in ledger.compare_plainly(self.store):
                self.complain(words, count)
        if verdict.repeated > verdict.allowed:
            verdict.notes.append(f"{verdict.repeated} repeated, {verdict.allowed} allowed")
        journals = [name for name in os.listdir(self.store / ".journal") if "journal" in name]
        if len(journals) > 2 * len(self.drivers) + 2:
            self.complain(f"{len(journals)} journals are left")
        return verdict

    def largest_batch(self) -> int:
        """Return how many runs the largest batch of any driver has held."""
        found = [int(file.read_text() or 0) for file in self.folder.glob("batches-*")]
        return max([1, *found])

    @property
    def _is_fast(self) -> bool:
        return not all(ledger.part.is_slow for ledger in self.ledgers)
