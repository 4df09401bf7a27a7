"""The datasets of several stages as one."""

import pytest
import xarray as xr

import toolkit as tk


@tk.stage(outputs={"error": tk.Output(float, units="%", long_name="misread")})
def score(size, replicate):
    return 100.0 / size + replicate


@tk.stage(over="replicate", outputs={"middle": tk.Output(float, units="%")})
def summarize(error):
    return float(error.median())


@pytest.mark.parametrize("is_lazy", [True, False])
def test_units_and_long_names_stay_where_stages_are_read_together(is_lazy) -> None:
    attrs = {"units": "pictures", "long_name": "sample size"}
    size = xr.DataArray([50, 100], dims="size", attrs=attrs)
    sweep = tk.Sweep([score, summarize], tk.grid(size=size, replicate=[0, 1, 2]))
    data = sweep.lazy() if is_lazy else sweep.run(progress=False)
    assert data.error.attrs == {"units": "%", "long_name": "misread"}
    assert data.middle.attrs == {"units": "%"}
    assert data["size"].attrs == attrs
    assert data.attrs["stages"] == ["score", "summarize"]
