"""One round: a fresh store, a disturbance, and a verdict on what is there in the end."""

import contextlib
import json
import os
import re
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import injection
import numpy as np
import studies
import xarray as xr
from lab import Cluster, Lab, Process

import toolkit as tk

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
        Whether the fault came before the sweep had ended.
    notes
        What is wrong, in words.
    """

    lost: int = 0
    repeated: int = 0
    allowed: int = 0
    wrong: int = 0
    has_hit: bool = True
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
        self.reference = studies.reference(kind, lab.folder)
        self.verdict = Verdict()
        self.failed: set[int] = set()  # runs that must have failed; all others must be done
        self.victims = 0  # processes that may have been in the middle of a run
        self.drivers: list[Process] = []
        self._acknowledged = np.zeros(studies.n_runs(kind), bool)
        self._called_then = np.zeros(studies.n_runs(kind), np.int64)
        self._has_been = False
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

    def must_end_well(self, driver: Process) -> None:
        """Note if a driver did not end, or with an error."""
        outcome = driver.outcome
        if outcome is None or outcome["error"] is not None:
            said = "it died" if outcome is None else outcome["error"]
            self.complain(f"a driver that nothing disturbed: {said}")

    def complain(self, note: str) -> None:
        """Note that something is wrong."""
        with self._lock:
            self.verdict.notes.append(note)
            self.verdict.wrong += 1

    # ---- what is stored

    def call_counts(self) -> np.ndarray:
        """Return how often each run was called, by its id."""
        found = re.findall(rb"\n(\d+) (\d+) ", self.calls.read_bytes())
        lines = np.array(found, np.int64).reshape(-1, 2)
        return np.bincount(self._ids(lines[:, 0], lines[:, 1]), minlength=len(self._acknowledged))

    def look(self) -> bool:
        """Read the store as users do; note what is wrong. Return whether there is a store."""
        store = self.store
        with self._lock:
            before = self._acknowledged.copy()  # another thread may see more than we, and sooner
        try:
            data = tk.open(store)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                plain = xr.open_zarr(store)
                plain_status = plain.status.values
                plain_score = plain.score.values if "score" in plain else None
        except Exception as error:  # noqa: BLE001  (noted)
            is_early = not self._has_been and _is_before_the_first(error, store)
            if not is_early:
                self.complain(f"a reader: {type(error).__name__}: {error}")
            return False
        if "score" not in data:
            return False
        self._has_been = True
        done = self._compare(data)
        if plain_score is not None:
            expected = self._expected("score").ravel()[: len(plain_status)]
            is_done = plain_status == tk.Status.DONE
            wrong = int((plain_score[is_done] != expected[is_done]).sum())
            if wrong:
                self.complain(f"xr.open_zarr shows {wrong} wrong values of runs that are done")
        with self._lock:
            lost = int((before & ~done).sum())
            if lost:
                self.verdict.lost += lost
                self.verdict.notes.append(f"{lost} runs were done and are not any more")
            new = done & ~self._acknowledged
            self._called_then[new] = self.call_counts()[new]
            self._acknowledged |= done
        return True

    @contextlib.contextmanager
    def read_all_the_while(self) -> Iterator[None]:
        """Look again and again in a thread of its own."""
        stop = threading.Event()

        def poll() -> None:
            while not stop.wait(POLL_SECONDS):
                self.look()

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
        self._acknowledged[:] = False
        self.look()
        self.verdict.allowed += int(counts[~self._acknowledged].sum())

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
        data = tk.open(self.store)
        status = data.status.transpose("x", "trial").values.ravel()
        expected = np.full(len(self._acknowledged), int(tk.Status.DONE))
        expected[list(self.failed)] = int(tk.Status.FAILED)
        if len(status) != len(expected):
            self.complain(f"{len(expected)} runs were asked for, {len(status)} are there")
        elif (status != expected).any():
            verdict.wrong += int((status != expected).sum())
            names = [tk.Status(each).name for each in np.unique(status[status != expected])]
            verdict.notes.append(f"{(status != expected).sum()} runs are {', '.join(names)}")
        counts = self.call_counts()
        again = int((counts - self._called_then)[self._acknowledged].sum())
        if again:
            verdict.lost += again
            verdict.notes.append(f"{again} runs were done and ran again")
        verdict.repeated = int((counts - 1)[(counts > 0) & (expected == tk.Status.DONE)].sum())
        verdict.allowed += self.victims * (1 if self.kind == "slow" else self.largest_batch())
        if verdict.repeated > verdict.allowed:
            verdict.notes.append(f"{verdict.repeated} repeated, {verdict.allowed} allowed")
        self._check_plainly()
        return verdict

    def largest_batch(self) -> int:
        """Return how many runs the largest batch of any driver has held."""
        found = [int(file.read_text() or 0) for file in self.folder.glob("batches-*")]
        return max([1, *found])

    def _ids(self, x: np.ndarray, trial: np.ndarray) -> np.ndarray:
        """Run ids: x is the slowest dim and the one that grows."""
        return x * self.reference.sizes["trial"] + trial

    def _expected(self, name: str) -> np.ndarray:
        return self.reference[name].transpose("x", "trial", ...).values

    def _compare(self, data: xr.Dataset) -> np.ndarray:
        """Compare what is done with the undisturbed sweep, bit by bit; return what is done."""
        data = data.transpose("x", "trial", ...)
        done = np.zeros((self.reference.sizes["x"], self.reference.sizes["trial"]), bool)
        x, trial = data.x.values.astype(int), data.trial.values.astype(int)
        is_done = data.status.values == tk.Status.DONE
        done[np.ix_(x, trial)] = is_done
        for name in self.reference.data_vars:
            if name not in data:
                continue
            found = data[name].values[is_done].astype(self.reference[name].dtype)
            expected = self._expected(name)[np.ix_(x, trial)][is_done]
            if found.tobytes() != expected.tobytes():
                wrong = int((found != expected).reshape(len(found), -1).any(1).sum())
                self.complain(f"{name} of {wrong} runs is not that of an undisturbed sweep")
                self.verdict.wrong += max(0, wrong - 1)
        return done.ravel()

    def _check_plainly(self) -> None:
        """Compare, at rest, what a reader without this package sees."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = xr.open_zarr(self.store).load()
        is_done = plain.status.values == tk.Status.DONE
        n = self.reference.sizes["trial"]
        ids = np.flatnonzero(is_done)
        for name, expected in (("x", ids // n), ("trial", ids % n)):
            if (plain[name].values[ids] != expected).any():
                self.complain(f"xr.open_zarr shows a wrong {name}")
        for name in self.reference.data_vars:
            expected = self._expected(name).reshape(len(is_done), -1)[ids]
            if not np.array_equal(plain[name].values.reshape(len(is_done), -1)[ids], expected):
                self.complain(f"xr.open_zarr shows a wrong {name}")
        journals = [name for name in os.listdir(self.store / ".journal") if "journal" in name]
        if len(journals) > 2 * len(self.drivers) + 2:
            self.complain(f"{len(journals)} journals are left")


def _is_before_the_first(error: Exception, store: Path) -> bool:
    """Whether a reading was refused for there is no result yet."""
    try:
        document = json.loads((store / "zarr.json").read_text())
        inside = document["consolidated_metadata"]["metadata"]
    except (OSError, ValueError, KeyError):
        return True
    return "status" not in inside or "score" not in inside
