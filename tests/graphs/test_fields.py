"""Values with inner dims are read where they are used: not all at once, not hashed, not sent."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr

import toolkit as tk
from toolkit.spaces.sliced import Sliced
from toolkit.stages.pickling import dumps
from toolkit.stores.catalogues.catalogue import Catalogue

ONE = 50_000 * 8


@pytest.fixture(scope="module")
def forcing(tmp_path_factory):
    path = tmp_path_factory.mktemp("forcing") / "rain.zarr"
    rain = np.random.default_rng(0).random((6, 8, ONE // 8))
    coords = {"site": [f"s{n}" for n in range(6)], "year": range(2000, 2008)}
    data = xr.Dataset({"rain": (("site", "year", "hour"), rain)}, coords)
    data.to_zarr(path, encoding={"rain": {"chunks": (1, 1, ONE // 8)}}, zarr_format=2)
    return path


@tk.stage(outputs={"wet": float})
def wet(rain, k):
    assert rain.dims == ("hour",)
    return float(rain.sum()) * k


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("chunks", [None, {}], ids=["zarr", "dask"])
@pytest.mark.parametrize("how", ["lazy", "run"])
def test_series_larger_than_memory_are_read_one_by_one(forcing, tmp_path, monkeypatch, chunks, how):
    # What a cluster loads into this process does not count.
    monkeypatch.setattr("toolkit.execution.engine._IN_PROCESS_SECONDS", 1e9)
    with xr.open_zarr(forcing, chunks=chunks) as data:
        space = tk.space(data, dims=("site", "year")) * tk.grid(k=[1, 2])
        sweep = tk.Sweep(wet, space, store=tmp_path / f"{how}.zarr")
        small = sweep.isel(site=[0], year=[0])  # imports what there is to import
        (small.lazy().compute if how == "lazy" else lambda: small.run(progress=False))()
        tracemalloc.start()
        made = sweep.lazy().compute() if how == "lazy" else sweep.run(progress=False)
        found = made.wet
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        catalogue, _ = Catalogue.empty().register(space)
        assert len(dumps(catalogue)) < 50_000
        assert len(dumps(sweep.lazy().wet.data.dask)) < 100_000
        assert peak < 25 * ONE < 48 * ONE
        expected = data.rain.sum("hour") * xr.DataArray([1, 2], dims="k")
        assert np.allclose(found, expected.compute(scheduler="synchronous"))


def test_workers_read_the_series_themselves(client, forcing):
    with xr.open_zarr(forcing, chunks=None) as data:
        space = tk.space(data, dims=("site", "year")) * tk.grid(k=[1, 2])
        sweep = tk.Sweep(wet, space)
        point = client.compute(sweep.lazy().wet.sel(site="s3", year=2004, k=2), sync=True)
        run = sweep.isel(site=[3]).run(client, progress=False)
        expected = data.rain.sel(site="s3", year=2004).sum().item() * 2
    assert np.isclose(point.item(), expected)
    assert np.isclose(run.wet.sel(site="s3", year=2004, k=2).item(), expected)


def test_a_value_is_read_when_its_run_begins_and_once_for_neighbors():
    reads = []

    def read(x):
        reads.append(x)
        return 10 * x

    values = Sliced(read, (np.array([3, 3, 1, 3]),))
    assert len(values) == 4
    assert reads == []
    found = iter(values)
    assert [next(found), next(found)] == [30, 30]
    assert reads == [3]
    assert list(found) == [10, 30]
    assert reads == [3, 1, 3]
    assert list(values[1:3]) == [30, 10]
