"""What a plan says of the tiers of a cluster, before anything runs."""

import json
import time

import numpy as np
import pytest
from click.testing import CliRunner

import toolkit as tk
from toolkit.cli import main

PROFILE = """
kind: local
tiers:
  small: {count: 1, memory: 1GB}
  large: {count: 1, memory: 8GB}
"""


def fit(n_parcels, fold):
    time.sleep(0.02)
    return n_parcels * fold


def needs(n_parcels):
    return tk.Resources(memory=n_parcels * 10**7)


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text(PROFILE)
    return path


SPACE = tk.grid(n_parcels=[10, 50, 200, 400], fold=range(5))


def test_runs_are_planned_on_the_tiers_that_they_need(profile, tmp_path):
    sweep = tk.Sweep(tk.stage(fit, resources=needs), SPACE, store=tmp_path / "s.zarr")
    plan = sweep.explain(profile)
    assert {name: each.runs for name, each in plan.tiers["fit"].items()} == {
        "small": 10,
        "large": 10,
    }
    assert plan.stages.tier["fit"] == "small 10, large 10"
    assert "tier large: 10 runs\n" in f"{plan}\n"  # nothing has shown yet what they cost
    assert sweep.explain().stages.tier["fit"] == "any"


def test_what_is_stored_says_what_the_rest_costs(profile, tmp_path):
    sweep = tk.Sweep(tk.stage(fit, resources=needs), SPACE, store=tmp_path / "s.zarr")
    sweep.isel(fold=slice(0, 2)).run(progress=False)
    plan = sweep.explain(profile)
    tiers = plan.tiers["fit"]
    assert [each.runs for each in tiers.values()] == [6, 6]
    hours = sum(each.core_hours for each in tiers.values())
    mean = float(sweep.dataset().seconds.mean())
    assert np.isclose(hours, 12 * mean / 3600, rtol=0.5)
    assert "core-hours" in str(plan)


def test_what_no_tier_serves_is_refused(profile, tmp_path):
    stage = tk.stage(fit, resources=tk.Resources(memory="80GB"))
    with pytest.raises(tk.ToolkitError, match="large: lacks 80 GB of memory"):
        tk.Sweep(stage, SPACE, store=tmp_path / "s.zarr").explain(profile)


def test_the_command_line_names_the_tiers_too(profile, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.py").write_text(
        "import toolkit as tk\n"
        "def fit(n, fold): return n * fold\n"
        "needs = lambda n: tk.Resources(memory=n * 10**7)\n"
        "sweep = tk.Sweep(tk.stage(fit, resources=needs), {'n': [10, 400], 'fold': [0, 1, 2]},\n"
        "                 store='s.zarr')\n"
    )
    told = CliRunner().invoke(
        main, ["explain", "study.py:sweep", "--cluster", str(profile), "--json"]
    )
    [stage] = json.loads(told.output)["stages"]
    assert stage["tiers"] == [
        {"tier": "small", "runs": 3, "core_hours": None},
        {"tier": "large", "runs": 3, "core_hours": None},
    ]
