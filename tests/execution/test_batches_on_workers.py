import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import StageError


def mixes(x):
    return x - x.mean()


def draws_in_batches(x, run_seed):
    return x + tk.draws(run_seed).normal("noise")


def draws_alone(x, run_seed):
    return x + tk.draws(run_seed).normal("noise")


@pytest.fixture(params=["in process", "workers"])
def where(request):
    return None if request.param == "in process" else request.getfixturevalue("client")


def test_a_function_that_mixes_runs_ends_the_sweep(where):
    sweep = tk.Sweep(tk.stage(mixes, vectorized=True), {"x": np.arange(1000.0)})
    with pytest.raises(StageError, match=r"'mixes' of the run x=.* depends on the batch"):
        sweep.run(where, progress=False)


def test_batches_draw_what_their_runs_draw_alone(where):
    axes = {"x": np.arange(3000.0)}
    together = tk.stage(draws_in_batches, name="noisy", vectorized=True)
    alone = tk.stage(draws_alone, name="noisy")
    batches = tk.Sweep(together, axes, seed=5).run(where, progress=False)
    runs = tk.Sweep(alone, axes, seed=5).run(where, progress=False)
    assert np.array_equal(batches.noisy, runs.noisy)


def decays(rate, run_seed, n_steps=20):
    y = tk.draws(run_seed).uniform("start", (3,), low=1.0, high=2.0)
    for _ in range(n_steps):
        y = y - 0.1 * rate * y
    return {"left": y, "sum": y.sum()}


def test_a_torch_function_runs_in_batches_and_is_reproduced_alone(where):
    pytest.importorskip("torch")
    sweep = tk.Sweep(
        tk.stage(decays, vectorized="torch"),
        tk.grid(rate=np.linspace(0.1, 1, 400), trial=tk.replicates(5)),
    )
    data = sweep.run(where, progress=False)
    assert data["sum"].dtype == np.float64
    np.testing.assert_allclose(data.left.sum(data.left.dims[-1]), data["sum"], rtol=1e-12)
    again = sweep.reproduce(rate=data.rate.values[7], trial=3)
    found = data.isel(rate=7).sel(trial=3)
    np.testing.assert_allclose(again["left"].numpy(), found.left, rtol=1e-12)
