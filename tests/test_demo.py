import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import toolkit as tk
from toolkit.demo import __main__ as demo
from toolkit.demo.fit import Fit, fit
from toolkit.demo.influenza import BOYS, IN_BED, sir, space, study
from toolkit.demo.picture import caption_of, draw


@pytest.fixture(scope="module")
def few() -> xr.Dataset:
    """Some of the runs, the best among them."""
    return study(some_of_the_space(), store=None).run(progress=False)


def some_of_the_space() -> tk.Space:
    return space().isel(beta=slice(None, None, 5), gamma=slice(1, None, 8), infected=[0, 4, 9])


@pytest.mark.parametrize("rates", [(1.2, 0.25, 1), (1.8, 0.455, 2), (2.4, 0.65, 8)])
def test_the_model_agrees_with_a_solver_of_high_accuracy(
    rates: tuple[float, float, float],
) -> None:
    from scipy.integrate import solve_ivp

    beta, gamma, infected = rates

    def change(_t: float, state: np.ndarray) -> list[float]:
        caught = beta * state[0] * state[1] / BOYS
        return [-caught, caught - gamma * state[1]]

    days = np.arange(len(IN_BED))
    start = [BOYS - infected, infected]
    exact = solve_ivp(change, (0, days[-1]), start, t_eval=days, rtol=1e-10, atol=1e-10).y[1]
    result = sir(*rates)
    assert np.abs(result["in_bed"] - exact).max() < 0.01
    assert result["misfit"] == pytest.approx(np.sqrt(np.mean((exact - IN_BED) ** 2)), abs=0.01)
    assert abs(result["peak_day"] - days[exact.argmax()]) <= 1


def test_the_space_has_labels_units_and_over_20_000_runs() -> None:
    described = space().to_dataset()
    assert len(space()) > 20_000
    assert described.beta.attrs["units"] == described.gamma.attrs["units"] == "per day"
    assert 1.66 in described.beta
    assert 0.44 in described.gamma
    assert 3 in described.infected


def test_the_best_fit_is_the_published_one_within_a_tenth(few: xr.Dataset) -> None:
    best = fit(few)
    assert best.beta == pytest.approx(1.66, rel=0.1)
    assert best.gamma == pytest.approx(0.44, rel=0.1)
    assert best.r0 == pytest.approx(3.7, rel=0.1)
    assert best.beta_range[0] < best.beta < best.beta_range[1]
    assert few.misfit.attrs["units"] == "boys"


def test_ranges_are_of_the_runs_within_the_limit() -> None:
    misfit = xr.DataArray(
        [[[10.0, 13.9, np.nan]], [[14.1, 14.0, 90.0]]],
        coords={"beta": [1.0, 2.0], "gamma": [0.5], "infected": [1, 2, 3]},
        dims=("beta", "gamma", "infected"),
    )
    found = fit(misfit.to_dataset(name="misfit"))
    assert found == Fit(
        beta=1,
        gamma=0.5,
        infected=1,
        r0=2,
        misfit=10,
        limit=14,
        beta_range=(1, 2),
        gamma_range=(0.5, 0.5),
        infected_range=(1, 2),
        r0_range=(2, 4),
    )
    assert "1.00 to 2.00" in str(found)


def test_the_picture_keeps_its_caption(few: xr.Dataset, tmp_path: Path) -> None:
    from PIL import Image

    picture = tmp_path / "flu.png"
    assert caption_of(picture) is None
    draw(few, fit(few), picture, caption="R₀\nis 4")
    assert caption_of(picture) == "R₀\nis 4"
    with Image.open(picture) as image:
        assert image.width == 1400
        image.save(picture)
    assert caption_of(picture) is None


def test_the_second_run_starts_no_cluster_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = study(some_of_the_space())
    demo.main(sweep)
    first = capsys.readouterr().out
    assert "/status" in first
    assert Path("flu.png").stat().st_size > 10_000

    monkeypatch.setattr(tk, "cluster", None)
    demo.main(sweep)
    second = capsys.readouterr().out
    assert "nothing to compute" in second
    assert second[second.index("Best fit") :] == first[first.index("Best fit") :]


@pytest.mark.long
def test_the_whole_demo_runs_and_then_computes_nothing_in_three_seconds(tmp_path: Path) -> None:
    for again in (False, True):
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "toolkit.demo"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ("nothing to compute" in done.stdout) is again
        assert "1.80" in done.stdout
    assert time.monotonic() - began < 3
