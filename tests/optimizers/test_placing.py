"""Where evaluations are made, and how many: budgets, constraints, fits inside of runs."""

import os
import time

import numpy as np
import pytest
from distributed import Client, LocalCluster

import toolkit as tk
from toolkit.optimizers.placing import DEAR, START_UP, should_leave, worth_a_cluster


def minimized(objective, axes, **given):
    return tk.minimize(objective, axes, progress=False, **given)


@pytest.mark.parametrize("seconds", [5e-5, 1e-3, 0.01, 0.049])
@pytest.mark.parametrize("workers", [1, 2, 8, 64])
@pytest.mark.parametrize("left", [10, 1000, 100_000])
def test_workers_are_asked_only_where_that_is_sooner(seconds, workers, left):
    together = 16
    if should_leave(seconds, left, workers=workers, together=together):
        at_best = START_UP + left * seconds / min(workers, together)
        assert at_best < left * seconds


def test_dear_evaluations_are_the_engines_and_its_own_cluster_has_to_be_worth_it():
    assert should_leave(DEAR, 1, workers=1, together=1)
    assert worth_a_cluster(1, 100) == float("inf")
    assert worth_a_cluster(2, 100) > worth_a_cluster(8, 100) > START_UP


def test_cheap_evaluations_are_made_here_though_a_client_is_there():
    def where(x):
        return (x - os.getpid()) ** 2

    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        pid = os.getpid()
        found = minimized(where, {"x": (pid - 100, pid + 100)}, client=client, budget=400)
        here = np.isclose(found.history["value"], (found.history.x - pid) ** 2, atol=1e-6)
        assert not here[:4].any(), "the first generation shows how long evaluations take"
        assert here[-200:].all()

        def slow(x):
            time.sleep(0.06)
            return float(os.getpid())

        there = minimized(slow, {"x": (0, 1)}, client=client, budget=12, population=4)
        assert not (there.history["value"] == pid).any()


def test_a_fit_is_a_stage_of_a_sweep_one_for_each_subject(tmp_path):
    def measured(subject):
        rng = np.random.default_rng(subject)
        return np.exp(-0.1 * (subject + 1) * np.arange(10)) + 0.001 * rng.normal(size=10)

    def fit(measured):
        def misfit(rate):
            return float(((np.exp(-rate * np.arange(10)) - measured) ** 2).sum())

        found = tk.minimize(misfit, {"rate": tk.log(0.01, 1.0)}, budget=200, progress=False)
        return {"rate": found.x["rate"], "misfit": found.value}

    sweep = tk.Sweep([measured, fit], tk.grid(subject=[0, 1, 2, 3]), store=tmp_path / "fits.zarr")
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        data = sweep.run(client, progress=False)
    assert np.allclose(data.rate, [0.1, 0.2, 0.3, 0.4], atol=0.01)


def test_a_fit_inside_of_a_run_starts_no_cluster(monkeypatch):
    def never(*_):
        raise AssertionError("a cluster was started")

    monkeypatch.setattr("toolkit.execution.clients.cluster", never)

    def fit(subject):
        def misfit(x, rng):  # with a stream of its own: as runs of a sweep
            time.sleep(0.004)
            return (x - subject) ** 2 + 1e-6 * rng.normal()

        return tk.minimize(misfit, {"x": (-5, 5)}, budget=40, progress=False).x["x"]

    sweep = tk.Sweep(fit, tk.grid(subject=[1, 2]))
    data = sweep.run(progress=False)
    assert not len(sweep.failures()), sweep.failures().traceback.iloc[0]
    assert np.allclose(data.fit, [1, 2], atol=1)


@pytest.mark.parametrize(
    ("method", "schedule"),
    [
        ("cmaes", "generation"),
        ("cmaes", "steady-state"),
        ("differential_evolution", "generation"),
        ("differential_evolution", "steady-state"),
        ("random", "generation"),
    ],
)
def test_points_that_are_not_allowed_cost_nothing_of_the_budget(method, schedule):
    calls = []

    def cost(x, y):
        calls.append((x, y))
        return x**2 + y**2

    found = minimized(
        cost,
        {"x": (-5, 5), "y": (-5, 5)},
        method=method,
        budget=90,
        schedule=schedule,
        constraints=lambda x, y: x + y > 2,
        seed=1,
    )
    assert found.evaluations == len(calls) == 90
    assert (found.history.status == tk.Status.SKIPPED).sum() > 10


def test_a_constraint_that_allows_nothing_more_ends_the_search():
    class Closing:
        """Allows a thousand points."""

        left = 1000

        def __call__(self, x):
            self.left -= len(x)
            return np.full(len(x), self.left > 0)

    closing = Closing()
    found = minimized(
        lambda x: x**2,
        {"x": (-5, 5)},
        method="random",
        budget=5000,
        constraints=lambda x: closing(x),
    )
    assert found.evaluations < 1000
    assert "constraints= allowed none of the last" in found.message
    with pytest.raises(tk.SweepError, match="allows none of the first"):
        minimized(
            lambda x: x, {"x": (0, 1)}, method="random", budget=16, constraints=lambda x: x > 2
        )


def test_evaluations_of_many_milliseconds_are_kept_one_by_one(tmp_path):
    """Where this process makes them: what is lost at a kill is at most the one in progress."""
    seen = []

    def slow(x):
        time.sleep(0.02)
        if (tmp_path / "fit.zarr" / "zarr.json").exists():
            seen.append(tk.open(tmp_path / "fit.zarr", flat=True).sizes.get("run", 0))
        return x**2

    minimized(slow, {"x": (-5, 5)}, budget=24, population=8, store=tmp_path / "fit.zarr")
    assert len(seen) >= 20
    assert all(n >= at - 3 for at, n in enumerate(seen)), seen
