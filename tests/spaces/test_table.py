import dask.array as da
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from toolkit.errors import SpaceError
from toolkit.spaces.grid import grid, replicates, zipped
from toolkit.spaces.table import space

ALL = slice(None)


def climate():
    return xr.Dataset(
        {
            "rate": ("site", [0.1, 0.4], {"units": "1/day"}),
            "rain": (("year", "site"), np.arange(6.0).reshape(3, 2)),
            "curve": (("site", "day"), np.arange(8.0).reshape(2, 4)),
            "shape": ("day", np.arange(4.0)),
            "depth": 3,
        },
        coords={"site": ["n", "s"], "year": [2000, 2001, 2002], "day": [1, 2, 3, 4]},
    )


def test_variables_that_share_a_dim_vary_together_and_other_dims_multiply():
    swept = space(climate()[["rate", "rain", "depth"]])
    assert swept.sizes == {"site": 2, "year": 3} or swept.sizes == {"year": 3, "site": 2}
    assert len(swept) == 6
    table = swept.to_dataframe()
    expected = climate().rain.sel(
        site=xr.DataArray(table.site, dims="run"), year=xr.DataArray(table.year, dims="run")
    )
    assert table.rain.tolist() == expected.values.tolist()
    assert swept.required == {"rate", "rain", "depth"}


def test_dims_that_are_not_swept_stay_inside_of_the_values():
    swept = space(climate(), dims=("site", "year"))
    values = swept.values([0, 5])
    assert isinstance(values["rain"][0], float)
    assert values["curve"][1].dims == ("day",)
    assert values["curve"][1].day.values.tolist() == [1, 2, 3, 4]
    assert values["curve"][1].values.tolist() == [4, 5, 6, 7]
    assert values["shape"][0].sizes == {"day": 4}
    assert values["depth"] == [3, 3]
    assert swept.dims_of("rain") == ("site", "year")
    assert swept.dims_of("shape") == ()


def test_lazy_values_are_read_a_slice_at_a_time():
    read = []

    def block(block_info=None):
        read.append(block_info[None]["chunk-location"])
        return np.ones((1, 1000))

    lazy = da.map_blocks(block, chunks=((1,) * 50, (1000,)), dtype=float)
    read.clear()
    swept = space(xr.Dataset({"field": (("site", "x"), lazy)}), dims="site")
    assert len(swept.isel(site=slice(10, 20)).extend()) == 10
    repr(swept)
    swept.to_dataset()
    assert swept == swept
    assert read == []
    (value,) = swept.values([7])["field"]
    assert isinstance(value.data, np.ndarray)
    assert read == [(7, 0)]


def test_a_space_goes_to_a_dataset_and_comes_back():
    made = grid(beta=[0.1, 0.2], model=["svm", "tree"], gamma=3) * zipped("site", rate=[1.5, 2.5])
    data = made.to_dataset()
    assert dict(data.sizes) == {"beta": 2, "model": 2, "site": 2}
    assert data.gamma.ndim == 0
    assert data.rate.dims == ("site",)
    assert "rate" not in data.indexes
    again = space(data)
    assert again.sizes == made.sizes
    swept = space(climate(), dims=("site", "year"))
    assert (
        swept.to_dataset()
        .drop_vars("depth")
        .identical(climate().drop_vars("depth").set_coords("rate").transpose("site", "year", "day"))
    )


def test_a_selection_of_fields_follows():
    swept = space(climate(), dims=("site", "year")).sel(site="s", year=[2002, 2000])
    assert swept.values(ALL)["rain"] == [5.0, 1.0]
    assert swept.to_dataset().rain.dims == ("year",)
    with pytest.raises(SpaceError, match="'rain' has no values for the new labels"):
        space(climate(), dims=("site", "year")).extend(year=[2003])


def test_where_may_use_a_parameter_over_several_dims():
    swept = space(climate(), dims=("site", "year")).where(lambda rain, year: rain + 0 * year > 2)
    assert sorted(swept.values(ALL)["rain"]) == [3.0, 4.0, 5.0]
    with pytest.raises(SpaceError, match="each of its values has the dims day"):
        space(climate(), dims=("site", "year")).where(lambda curve: curve > 2)
    with pytest.raises(SpaceError, match="rain lies along it"):
        space(climate(), dims=("site", "year")).when(year=lambda rate: rate > 0.2)


def test_a_dim_without_labels_is_numbered():
    swept = space(xr.Dataset({"a": (("x", "y"), np.zeros((2, 3)))}))
    assert swept.sizes == {"x": 2, "y": 3}
    assert swept.dim("y").labels.tolist() == [0, 1, 2]
    assert swept.required == {"a"}


def test_a_table_is_one_run_per_row():
    table = pd.DataFrame({"a": [1, 1], "b": ["x", "x"], "c": [0.5, 0.5]})
    swept = space(table)
    assert swept.sizes == {"row": 2}
    assert swept.values([1]) == {"a": [1], "b": ["x"], "c": [0.5]}
    named = space(table.set_index(pd.Index(["p", "q"], name="case")))
    assert named.sizes == {"case": 2}
    assert named.sel(case="q").values(ALL)["case"] == ["q"]
    assert named.required == {"a", "b", "c"}
    assert space(table.iloc[1:]).dim("row").labels.tolist() == [1]


def test_a_table_of_runs_has_one_line_per_run():
    made = grid(k=["a", "b"], w=[1, 2], trial=replicates(2)).when(w=lambda k: k == "a")
    table = made.to_dataframe()
    assert table.index.name == "run"
    assert table.columns.tolist() == ["k", "w", "trial"]
    assert table.w.isna().sum() == 2
    assert len(table) == len(made) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: space(climate(), dims="sight"), "Did you mean 'site'"),
        (lambda: space(climate().rain), "found a DataArray"),
        (lambda: space({"a": [1]}), r"tk\.grid"),
        (lambda: space(3), "found int"),
        (lambda: space(pd.DataFrame({"a": []})), "table is empty"),
        (lambda: space(pd.DataFrame({"a": [1.0, None]})), "non-finite"),
        (lambda: space(pd.DataFrame({"a": [1]}), dims="row"), "leave dims= out"),
        (lambda: space(pd.DataFrame({"run": [1]})), "keeps this name"),
        (lambda: space(pd.DataFrame({0: [1]})), "names are texts"),
        (lambda: space(pd.DataFrame([[1, 2]], columns=["a", "a"])), "stand twice"),
        (
            lambda: space(pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 5], name="id"))),
            "5 more than once",
        ),
        (
            lambda: space(pd.DataFrame({"a": [1, 2], "b": [1, 2], "c": 3}).set_index(["a", "b"])),
            "MultiIndex",
        ),
        (lambda: space(climate().stack(p=["site", "year"]), dims="p"), "MultiIndex"),
        (lambda: space(xr.Dataset({"a": ("x", [])})), "empty"),
        (lambda: space(xr.Dataset(coords={"x": [1, 1]})), "more than once"),
    ],
)
def test_a_wrong_table_is_explained(make, message):
    with pytest.raises(SpaceError, match=message):
        make()


def test_a_table_made_of_a_space_is_a_space_again():
    table = grid(a=[1, 2, 3], b=["x", "y"]).to_dataframe()
    again = space(table[table.a > 1])
    assert again.sizes == {"row": 4}
    assert again.values(slice(None))["a"] == [2, 2, 3, 3]
