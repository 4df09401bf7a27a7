"""A factorial study on real worker processes: networks fitted once, many arrays stored."""

import json
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk

SIZES, REPLICATES, DISTRIBUTIONS, SNRS = [20, 40], 3, ["normal", "t", "uniform"], [0, 6, 12]
ARRAYS, WIDTH = 30, 2000  # two chunks of 32 runs for each array


def note(folder: str, word: str) -> None:
    with open(os.path.join(folder, str(os.getpid())), "a") as file:
        file.write(f"{word}\n")


def study(folder: str, store: Path | None) -> tk.Sweep:
    @tk.stage(outputs={"first": ("feature", "unit"), "second": ("unit",)})
    def fit(size, rng):
        note(folder, f"fit {size} {tk.current_run().labels['replicate']}")
        x = rng.normal(size=(size, 4))
        y = np.sin(x).sum(1)
        first, second = rng.normal(size=(4, 8)) / 2, rng.normal(size=8) / 3
        for _ in range(50):
            hidden = np.tanh(x @ first)
            residual = hidden @ second - y
            back = np.outer(residual, second) * (1 - hidden**2)
            first, second = (
                first - 0.05 * x.T @ back / size,
                second - 0.05 * hidden.T @ residual / size,
            )
        return {"first": first, "second": second}

    names = [f"array_{number:02d}" for number in range(ARRAYS)]

    @tk.stage(
        outputs={name: tk.Output(float, "point") for name in names},
        resources=tk.Resources(threads=2),
    )
    def simulate(first, second, distribution, snr, rng):
        note(folder, f"simulate {tk.current_run().id}")
        draw = {
            "normal": rng.normal,
            "t": lambda size: rng.standard_t(3, size=size),
            "uniform": lambda size: rng.uniform(-1, 1, size=size),
        }[distribution]
        noises = [draw(size=(WIDTH, 4)) * 10 ** (-snr / 20) for _ in range(ARRAYS)]
        with ThreadPoolExecutor(tk.current_run().threads) as threads:
            found = list(threads.map(lambda x: np.tanh(x @ first.values) @ second.values, noises))
        return dict(zip(names, found, strict=True))

    @tk.stage(over="replicate")
    def spread(array_00):
        return float(array_00.std())

    space = tk.grid(
        size=SIZES,
        replicate=tk.replicates(REPLICATES),
        distribution=DISTRIBUTIONS,
        snr=SNRS,
    )
    return tk.Sweep([fit, simulate, spread], space, store=store)


@pytest.fixture
def calls(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def counts(folder: Path) -> Counter:
    return Counter(line for path in folder.iterdir() for line in path.read_text().splitlines())


def is_array(metadata: Path) -> bool:
    return bool(json.loads(metadata.read_text())["node_type"] == "array")


def chunks_of(array: Path) -> int:
    said = json.loads((array / "zarr.json").read_text())
    chunk = said["chunk_grid"]["configuration"]["chunk_shape"]
    return int(np.prod([-(-size // each) for size, each in zip(said["shape"], chunk, strict=True)]))


def test_the_network_is_fitted_once_for_each_size_and_replicate(client, tmp_path, calls) -> None:
    store = tmp_path / "study.zarr"
    sweep = study(str(calls), store)
    data = sweep.run(client, progress=False)
    n_fits = len(SIZES) * REPLICATES
    n_runs = n_fits * len(DISTRIBUTIONS) * len(SNRS)

    found = counts(calls)
    fits = {word: n for word, n in found.items() if word.startswith("fit")}
    assert fits == {
        f"fit {size} {replicate}": 1 for size in SIZES for replicate in range(REPLICATES)
    }
    assert sum(found.values()) == n_fits + n_runs

    assert data.spread.sizes == {"size": 2, "distribution": 3, "snr": 3}
    arrays = [name for name in data if str(name).startswith("array_")]
    assert len(arrays) == ARRAYS
    assert all(np.isfinite(data[name]).all() for name in arrays)
    again = sweep.reproduce(stage="simulate", size=40, replicate=1, distribution="t", snr=6)
    stored = data.sel(size=40, replicate=1, distribution="t", snr=6)
    for name in arrays:
        np.testing.assert_array_equal(stored[name], again[name])

    writers = len(client.scheduler_info()["workers"]) + 1
    metadata = list(store.rglob("zarr.json"))
    variables = [path.parent for path in metadata if is_array(path)]
    chunks = [chunks_of(each) for each in variables]
    inodes = sum(len(folders) + len(files) for _, folders, files in os.walk(store))
    assert max(chunks) == 2
    assert inodes <= sum(chunks) + 2 * len(metadata) + writers + 10


def test_more_noise_needs_no_more_networks(client, tmp_path, calls) -> None:
    sweep = study(str(calls), tmp_path / "study.zarr")
    sweep.sel(snr=[0]).run(client, progress=False)
    before = counts(calls)
    sweep.run(client, progress=False)
    more = counts(calls) - before
    assert len(more) == len(SIZES) * REPLICATES * len(DISTRIBUTIONS) * 2
    assert all(word.startswith("simulate") for word in more)


def test_threads_of_runs_do_not_spin_while_they_wait(client) -> None:
    def policy(x):
        return os.environ["OMP_WAIT_POLICY"]

    found = tk.Sweep(policy, {"x": [1]}).run(client, progress=False).policy.item()
    assert found == os.environ.get("OMP_WAIT_POLICY", "passive")
