"""What a search in this process writes is taken from its hands, as if it had been read."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import toolkit as tk
from toolkit.execution import ledger
from toolkit.stages.schema import Schema, Variable
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.runs.own_outcomes import OwnOutcomes

AXES = {"a": (-2.0, 2.0), "b": (-2.0, 2.0)}


def bowl(a, b):
    return (a - 0.3) ** 2 + (b + 0.7) ** 2


class Reused:
    """Returns the same array again and again."""

    __name__ = "bowl"

    def __init__(self):
        self.values = np.zeros(0)

    def __call__(self, a, b):
        if len(self.values) != len(a):
            self.values = np.zeros(len(a))
        self.values[:] = bowl(a, b)
        return self.values


class Widening:
    """Returns whole numbers at first."""

    __name__ = "bowl"

    def __init__(self):
        self.calls = 0

    def __call__(self, a, b):
        self.calls += 1
        values = bowl(a, b)
        return np.round(values).astype(np.int64) if self.calls < 40 else values


class Failing:
    """Fails on part of the domain, now and then."""

    __name__ = "bowl"

    def __call__(self, a, b):
        if (a > 1.99).any():
            raise ValueError("outside")
        return bowl(a, b)


def stored(function, path):
    tk.minimize(
        tk.stage(function, vectorized=True, version="1"),
        AXES,
        population=8,
        budget=4_000,
        seed=3,
        method="random",
        store=path,
        progress=False,
    )
    found = tk.open(path)
    return found.drop_vars([name for name in found.variables if "seconds" in str(name)])


@pytest.mark.parametrize("kind", [Reused, Widening, Failing])
def test_it_is_the_same_as_what_the_journal_says(kind, tmp_path, monkeypatch):
    taken = []
    real = OwnOutcomes.take

    def take(self, *args):
        found = real(self, *args)
        taken.append(0 if found is None else found[1].n)
        return found

    monkeypatch.setattr(OwnOutcomes, "take", take)
    monkeypatch.setattr(ledger, "_APART", 0.01)
    monkeypatch.setattr(ledger, "_SHARE", 0)
    mine = stored(kind(), tmp_path / "mine.zarr")
    assert sum(taken) > 1_000  # else this compares nothing
    monkeypatch.setattr(OwnOutcomes, "take", lambda *_: None)
    read = stored(kind(), tmp_path / "read.zarr")
    xr.testing.assert_equal(mine, read)
    assert (mine.status == tk.Status.FAILED).any() == (kind is Failing)


def outcomes(n):
    schema = Schema(variables=(Variable(name="value", dtype="<f8"),))
    return SimpleNamespace(
        status=np.ones(n, np.uint8),
        seconds=np.zeros(n, np.float32),
        peak_memory=np.zeros(n, np.float32),
        columns=[np.arange(float(n))],
        schema=schema,
        errors=[],
        logs=[],
    )


@pytest.mark.parametrize(("ids", "is_taken"), [([4, 5, 6, 7], True), ([4, 6, 5, 7], False)])
def test_runs_that_are_not_in_a_row_are_read(ids, is_taken):
    own = OwnOutcomes()
    own.add(np.arange(4), outcomes(4), Receipt(journal="j", offset=100))
    assert own.take("bowl", 1, 0.0) is None  # the journal has yet to say what the columns are
    own.add(np.array(ids), outcomes(4), Receipt(journal="j", offset=200))
    assert (own.take("bowl", 1, 0.0) is not None) == is_taken
