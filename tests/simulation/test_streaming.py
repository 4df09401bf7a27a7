"""Records that are written to a store while the runs go on."""

import time
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import xarray as xr
from torch import Tensor, nn

from tests.simulation.networks import random_network
from toolkit.errors import SimulationError, StoreError
from toolkit.simulation import SEIR, Record, Runner, SimulationModel, playing, streaming

WAYS = [{"mode": "dense"}, {"mode": "active"}]
RECORD = [
    "new_infections",
    Record("stage", every=7),
    Record("until", every=7),
    Record("infectious", every=5, dtype="uint16"),
]


def runner_of(**way):
    return Runner(SEIR(random_network(300, 6), beta=0.1, initial_infected=5), device="cpu", **way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("block_bytes", [2**12, 2**24])
def test_a_store_holds_what_memory_holds(way, block_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_BLOCK_BYTES", block_bytes)
    here = runner_of(**way)
    params, seeds = {"beta": [0.05, 0.1, 0.2]}, [4, 9, 2**62]
    wanted = here.run_batch(50, params, seeds, record=RECORD)
    found = here.run_batch(50, params, seeds, record=RECORD, store=tmp_path / "runs.zarr")
    assert found.load().identical(wanted)
    assert here.stats().seconds["write"] > 0
    one = here.run(50, {"beta": 0.1}, 9, record=RECORD, store=str(tmp_path / "one.zarr"))
    assert one.load().identical(here.run(50, {"beta": 0.1}, 9, record=RECORD))
    all_of_it = here.run_batch(50, params, seeds, store=tmp_path / "all.zarr").load()
    assert all_of_it.identical(here.run_batch(50, params, seeds))
    assert xr.open_zarr(tmp_path / "runs.zarr", chunks=None).attrs["complete"] is True


def test_runs_that_are_stepped_in_parts_are_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr(playing, "_CELLS_AT_ONCE", 900)
    monkeypatch.setattr(streaming, "_BLOCK_BYTES", 2**12)
    params = {"beta": np.linspace(0, 0.2, 7)}
    found = runner_of().run_batch(40, params, record=RECORD, store=tmp_path / "runs.zarr")
    assert found.load().identical(runner_of().run_batch(40, params, record=RECORD))


@dataclass
class Count:
    n: Tensor


class Counter(SimulationModel):
    """Counts its steps, and calls a function after one of them."""

    n_agents = 50

    def __init__(self, at, call):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self._at, self._call = at, call

    def initial_state(self, rng):
        return Count(torch.zeros(self.n_agents, rng.n_runs, dtype=torch.int64))

    def step(self, state, t, rng):
        del rng
        if t == self._at:
            self._call()
        return Count(state.n + 1)

    def observe(self, state, t):
        del t
        return {"n": state.n.sum(0)}


def test_others_read_the_store_while_it_is_written(tmp_path):
    path, seen = tmp_path / "runs.zarr", []

    def look():
        end = time.monotonic() + 60
        while time.monotonic() < end:
            there = xr.open_zarr(path, chunks=None)
            if there.sizes["step"] >= 512:
                seen.append((there.attrs["complete"], there.n.values[:512, 0], there.sizes))
                return
            time.sleep(0.01)

    found = Runner(Counter(600, look), device="cpu").run(700, store=path)
    [(is_complete, n, sizes)] = seen
    assert is_complete is False
    assert sizes["step"] == 512
    np.testing.assert_array_equal(n, 50 * np.arange(1, 513))
    np.testing.assert_array_equal(found.n, 50 * np.arange(1, 701))


def test_a_run_that_fails_leaves_what_was_written(tmp_path):
    path = tmp_path / "runs.zarr"

    def fail():
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        Runner(Counter(600, fail), device="cpu").run(700, store=path)
    there = xr.open_zarr(path, chunks=None)
    assert there.attrs["complete"] is False
    np.testing.assert_array_equal(there.n.values[:, 0], 50 * np.arange(1, 513))


@pytest.mark.parametrize("mode", ["dense", "active"])
def test_memory_does_not_grow_with_steps(mode, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_BLOCK_BYTES", 2**17)
    model = SEIR(random_network(2_000, 4), beta=0.01, initial_infected=5)
    here = Runner(model, device="cpu", mode=mode)
    here.run(30, record=Record("stage"), store=tmp_path / "warm.zarr")
    peaks = []
    for steps in (200, 1_400):
        tracemalloc.start()
        here.run(steps, record=["stage", "new_infections"], store=tmp_path / f"{steps}.zarr")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 300_000  # of 2.8 MB that are written
    assert xr.open_zarr(tmp_path / "1400.zarr", chunks=None).stage.shape == (1_400, 2_000, 1)


def test_what_does_not_fit_into_its_type_is_an_error(tmp_path):
    record = Record("susceptible", dtype="uint8")
    with pytest.raises(SimulationError, match=r"'susceptible' goes from [0-9]+ to 29[0-9]"):
        runner_of().run(10, record=record, store=tmp_path / "runs.zarr")
    assert xr.open_zarr(tmp_path / "runs.zarr", chunks=None).attrs["complete"] is False


def test_a_folder_that_is_taken_and_a_disk_that_fails_are_errors(tmp_path, monkeypatch):
    here = runner_of()
    here.run(3, store=tmp_path / "runs.zarr")
    with pytest.raises(StoreError, match=r"runs.zarr is there already. Runs are written into a ne"):
        here.run(3, store=tmp_path / "runs.zarr")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file cannot be written to"):
        here.run(3, store=tmp_path / "file")

    def full(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(streaming.GrowingArrays, "write", full)
    monkeypatch.setattr(streaming, "_MOST_RECORDS", 5)
    with pytest.raises(StoreError, match="the disk is full"):
        here.run(100, store=tmp_path / "other.zarr")


def test_names_are_refused_as_in_memory(tmp_path):
    with pytest.raises(SimulationError, match=r"no 'deaths' to record. The model observes new_inf"):
        runner_of().run(3, record="deaths", store=tmp_path / "runs.zarr")


@pytest.mark.gpu
def test_a_gpu_streams_what_it_records_without_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_BLOCK_BYTES", 2**12)
    model = SEIR(random_network(300, 6), beta=0.1, initial_infected=5)
    seeds = [4, 9]
    wanted = Runner(model, device="cpu").run_batch(60, seeds=seeds, record=RECORD)
    there = Runner(model, device="cuda")
    found = there.run_batch(60, seeds=seeds, record=RECORD, store=tmp_path / "runs.zarr")
    assert found.load().identical(wanted)
