"""What is known of the runs of one stage: what readers have seen of them, and what is true."""

import json
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import studies
import xarray as xr
from truths import SPIKE, Truth, unpadded

import toolkit as tk


class Sight(NamedTuple):
    """What a reader has seen at one time.

    Parameters
    ----------
    done
        Whether each run is done, shape ``(n_runs,)``.
    faults
        What is wrong, in words, with the number of runs concerned.
    """

    done: np.ndarray
    faults: list[tuple[str, int]]


class Ledger:
    """One stage of the study of a round.

    ``acknowledged`` are the runs that a reader has seen as done, ``called_then`` how often each
    had been called by then, ``failed`` those that must have failed in the end, ``allowed`` how many
    may run again apart from those that a killed process was in.
    """

    def __init__(self, part: studies.Part, truth: Truth) -> None:
        self.part, self.truth = part, truth
        self.acknowledged = np.zeros(truth.n_runs, bool)
        self.called_then = np.zeros(truth.n_runs, np.int64)
        self.failed: set[int] = set()
        self.allowed = 0
        self._has_been = False

    def look(self, store: Path) -> Sight | None:
        """Read the stage as users do; None where there is nothing of it yet.

        Raises
        ------
        Exception
            Of whatever kind, where it should have been readable.
        """
        try:
            data = tk.open(store, stage=self.part.stage)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                plain = xr.open_zarr(store, group=self.part.group or None)
                plain_status = plain.status.values
                some = next((name for name in self.truth.fixed if name in plain), None)
                plain_values = None if some is None else plain[some].values
        except Exception:
            if not self._has_been and self._is_before_the_first(store):
                return None
            raise
        if not any(name in data for name in self.truth.fixed):
            return None
        self._has_been = True
        sight = self._compare(data)
        if plain_values is not None and some is not None:
            ids = np.flatnonzero(plain_status == tk.Status.DONE)
            wrong = self.truth.differ(some, plain_values[ids], ids)
            if wrong:
                sight.faults.append((f"xr.open_zarr shows wrong values of {wrong} runs", wrong))
        return sight

    def statuses(self, store: Path) -> list[tuple[str, int]]:
        """Compare the status of all runs, in the end, with what it must be."""
        data = tk.open(store, stage=self.part.stage)
        status = data.status.transpose(*self.part.dims).values.ravel()
        expected = np.full(self.truth.n_runs, int(tk.Status.DONE))
        expected[list(self.failed)] = int(tk.Status.FAILED)
        if len(status) != len(expected):
            return [(f"{len(expected)} runs were asked for, {len(status)} are there", 1)]
        is_wrong = status != expected
        names = [tk.Status(each).name for each in np.unique(status[is_wrong])]
        n = int(is_wrong.sum())
        return [(f"{n} runs are {', '.join(names)}", n)] if n else []

    def compare_plainly(self, store: Path) -> list[tuple[str, int]]:
        """Compare, at rest, all that a reader without this package sees."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plain = xr.open_zarr(store, group=self.part.group or None).load()
        done = np.flatnonzero(plain.status.values == tk.Status.DONE)
        faults = []
        labels = np.unravel_index(done, self.truth.shape)
        for name, expected in zip(self.part.dims, labels, strict=True):
            wrong = int((plain[name].values[done] != expected).sum())
            faults.append((f"xr.open_zarr shows a wrong {name}", wrong))
        for name in self.truth.fixed:
            if not name.startswith("n_"):
                wrong = self.truth.differ(name, plain[name].values[done], done)
                faults.append((f"xr.open_zarr shows a wrong {name}", wrong))
        for name in self.truth.ragged:
            starts, lengths = (plain[f"{name}.{part}"].values[done] for part in ("start", "length"))
            elements = plain[name].values
            found = [elements[at : at + n] for at, n in zip(starts, lengths, strict=True)]
            wrong = self.truth.differ(name, found, done)
            faults.append((f"xr.open_zarr shows a wrong {name}", wrong))
        return [(words, wrong) for words, wrong in faults if wrong]

    def _compare(self, data: xr.Dataset) -> Sight:
        """Compare what is done with the truth, bit by bit."""
        dims, n_dims = self.part.dims, len(self.part.dims)
        data = data.transpose(*dims, ...)
        is_done = data.status.values.ravel() == tk.Status.DONE
        ids = self.truth.cells(data)[is_done]
        faults = []
        for name in (*self.truth.fixed, *self.truth.ragged):
            if name not in data:
                continue
            values = data[name].values
            rows: Any = values.reshape(len(is_done), *values.shape[n_dims:])[is_done]
            if name in self.truth.ragged:
                rows = unpadded(rows, data[f"n_{SPIKE}"].values.ravel()[is_done])
            wrong = self.truth.differ(name, rows, ids)
            if wrong:
                faults.append((f"{name} of {wrong} runs is not what they return", wrong))
        done = np.zeros(self.truth.n_runs, bool)
        done[ids] = True
        return Sight(done, faults)

    def _is_before_the_first(self, store: Path) -> bool:
        """Whether a reading was refused for there is no result yet."""
        try:
            document = json.loads((store / "zarr.json").read_text())
            inside = document["consolidated_metadata"]["metadata"]
        except (OSError, ValueError, KeyError):
            return True
        prefix = f"{self.part.group}/" if self.part.group else ""
        names = (*self.truth.fixed, *self.truth.ragged)
        return f"{prefix}status" not in inside or not any(prefix + each in inside for each in names)
