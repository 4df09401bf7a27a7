"""What every run returns: from a plain loop, and random numbers from a sweep left alone."""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import studies
import xarray as xr
from lab import Lab

import toolkit as tk

SPIKE = "spike"
"""The inner dim of ragged outputs."""


@dataclass(frozen=True)
class Truth:
    """What the runs of one stage return.

    Parameters
    ----------
    dims, shape
        What its runs differ in, and how many labels each of these has.
    fixed
        For each output of one shape, and each text, its values, shape ``(n_runs, …)``.
    ragged
        For each ragged output, the values of each run.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    fixed: dict[str, np.ndarray]
    ragged: dict[str, list[np.ndarray]]

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return int(np.prod(self.shape))

    def ids(self, *labels: Any) -> np.ndarray:
        """Return the id of runs: the position among all labels, the last dim the fastest."""
        found = np.zeros((), np.int64)
        for label, size in zip(labels, self.shape, strict=True):
            found = found * size + np.asarray(label).astype(np.int64)
        return found

    def cells(self, data: xr.Dataset) -> np.ndarray:
        """Return the id of each cell of a labelled dataset, in the order of ``dims``."""
        return self.ids(
            *np.meshgrid(*(data[dim].values for dim in self.dims), indexing="ij")
        ).ravel()

    def differ(self, name: str, found: Any, ids: np.ndarray) -> int:
        """Return how many of some runs have other values than these, bit by bit.

        ``found`` has a row for each run: values, texts, or for a ragged output a list of arrays.
        """
        if name in self.ragged:
            pairs = zip(found, (self.ragged[name][run] for run in ids.tolist()), strict=True)
            return sum(_differs(here, there) for here, there in pairs)
        expected = self.fixed[name][ids]
        if expected.dtype.kind == "U":
            return int((np.asarray(found, object).astype(str) != expected).sum())
        values = np.asarray(found).astype(expected.dtype)
        if values.tobytes() == expected.tobytes():
            return 0
        pairs = zip(values, expected, strict=True)
        return sum(_differs(here, there) for here, there in pairs)


def unpadded(values: np.ndarray, lengths: np.ndarray) -> list[np.ndarray]:
    """Return the values of each run without what fills them up; shape ``(n_runs, width)``."""
    return [row[: int(n)] for row, n in zip(values, lengths, strict=True)]


@functools.cache
def truths(kind: str, lab: Lab) -> list[Truth]:
    """Return what each stage of a study returns.

    A sweep in one process that nothing disturbs must return the same as the plain loop does.
    """
    store = lab.folder / f"undisturbed-{kind}.zarr"
    driver = lab.fork(
        role="driver",
        outcome=lab.folder / f"undisturbed-{kind}.outcome",
        kind=kind,
        store=str(store),
        calls=str(lab.folder / f"undisturbed-{kind}.calls"),
        batches=str(lab.folder / f"undisturbed-{kind}.batches"),
    )
    driver.finish("an undisturbed sweep")
    said = (driver.outcome or {"error": "nothing"})["error"]
    assert said is None, f"an undisturbed sweep said: {said}"
    found = []
    for part in studies.PARTS[kind]:
        truth = _of_stage(kind, part, tk.open(store, stage=part.stage).load())
        for name, values in studies.plain(kind, part).items():
            if name in truth.ragged or name in truth.fixed:
                wrong = truth.differ(name, _as_rows(values), np.arange(truth.n_runs))
                assert not wrong, f"{name} of {wrong} undisturbed runs of {part.stage}"
        found.append(truth)
    return found


def _of_stage(kind: str, part: studies.Part, data: xr.Dataset) -> Truth:
    shape = studies.SHAPES[kind][: len(part.dims)]
    assert (data.status.values == tk.Status.DONE).all()
    data = data.transpose(*part.dims, ...)
    truth = Truth(part.dims, shape, {}, {})
    assert (truth.cells(data) == np.arange(truth.n_runs)).all()
    for name, array in data.data_vars.items():
        values = array.values.reshape(truth.n_runs, *array.shape[len(shape) :])
        if SPIKE in array.dims:
            truth.ragged[str(name)] = unpadded(values, data[f"n_{SPIKE}"].values.ravel())
        else:
            truth.fixed[str(name)] = values.astype(str) if values.dtype.kind in "OT" else values
    return truth


def _as_rows(values: list[Any]) -> Any:
    return values if isinstance(values[0], np.ndarray) else np.array(values)


def _differs(here: np.ndarray, there: np.ndarray) -> bool:
    return here.shape != there.shape or here.astype(there.dtype).tobytes() != there.tobytes()
