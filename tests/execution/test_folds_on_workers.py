"""How runs that differ in a fold only are cut into tasks."""

import time

import numpy as np

import toolkit as tk
from toolkit.execution.dask_executor import DaskExecutor

HEAVY, LIGHT = (90, 91), tuple(range(30))


def fit(size, fold):
    time.sleep(1.2 if size >= 90 else 0.012)
    return size * 10 + fold


def tasks_of(monkeypatch):
    """Return a list that fills with the runs of each task that is handed out."""
    tasks, submit = [], DaskExecutor.submit

    def noted(executor, batches, resources):
        tasks.extend([each.run_ids().tolist() for each in batches if not each.first_wave])
        submit(executor, batches, resources)

    monkeypatch.setattr(DaskExecutor, "submit", noted)
    return tasks


def test_folds_of_a_light_point_are_one_task_and_each_of_a_heavy_one_its_own(
    client, tmp_path, monkeypatch
):
    tasks = tasks_of(monkeypatch)
    # The heavy points come last, when it is known what such runs take.
    space = tk.grid(size=[*LIGHT, *HEAVY], fold=range(5))
    sweep = tk.Sweep(fit, space, store=tmp_path / "s.zarr")
    sweep.sel(size=list(LIGHT[:8])).run(client, progress=False)
    sweep.sel(size=list(HEAVY), fold=[0]).run(client, progress=False)
    tasks.clear()
    data = sweep.run(client, progress=False)
    assert np.array_equal(data.fit, data.size * 10 + data.fold)
    found = sweep.dataset()
    assert (found.attempts == 1).all()  # each is stored and resumed by itself
    point_of = dict(zip(_ids(tmp_path / "s.zarr"), _points(tmp_path / "s.zarr"), strict=True))
    heavy = [task for task in tasks if any(point_of[run] >= 90 for run in task)]
    light = [task for task in tasks if task not in heavy]
    assert all(len(task) == 1 for task in heavy), heavy
    tasks_by_point = {
        point: [at for at, task in enumerate(light) if point in {point_of[run] for run in task}]
        for point in LIGHT
    }
    # Those that were handed back are cut again, and the first wave takes single runs.
    assert sum(len(found) <= 1 for found in tasks_by_point.values()) >= 0.8 * len(LIGHT)
    assert len(light) < len(LIGHT)


def _ids(path):
    return tk.open(path, flat=True).run.values.tolist()


def _points(path):
    return tk.open(path, flat=True)["size"].values.tolist()
