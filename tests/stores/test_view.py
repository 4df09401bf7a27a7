import pickle

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.stores.filled import finish, in_memory
from toolkit.errors import StoreError
from toolkit.run_status import Status
from toolkit.spaces.grid import grid, replicates, zipped
from toolkit.spaces.sample import sample
from toolkit.spaces.table import space as table
from toolkit.stages.schema import Coord, RaggedColumn, Schema, Variable
from toolkit.stores.reading.cells import NoRuns
from toolkit.stores.reading.view import labelled

PEAK = Schema(variables=(Variable(name="peak", dtype="<f8", attrs={"units": "people"}),))
COUNT = Schema(variables=(Variable(name="count", dtype="<i8"),))


def filled(space, schema=PEAK, columns=None, **options):
    """All runs of a space done; the output is the number of the run unless columns are given."""
    runs = in_memory(space)
    ids = np.asarray(runs.catalogue.find(space))
    columns = columns or [np.arange(len(ids)).astype(v.dtype) for v in schema.variables]
    finish(runs, schema, ids, columns, **options)
    return runs


def test_outputs_lie_over_the_labels():
    space = grid(beta=[0.1, 0.2], gamma=[1, 2, 3], model="sir")
    data = labelled(filled(space), space)
    assert data.peak.dims == ("beta", "gamma")
    assert data.peak.sel(beta=0.2, gamma=3) == 5.0
    assert data.peak.attrs == {"units": "people"}
    assert data.model.item() == "sir"
    assert set(data.data_vars) == {"peak"}
    assert {"status", "attempts", "seconds", "peak_memory"} < set(data.coords)


def test_numbers_and_dates_ascend_and_texts_keep_their_order():
    space = grid(
        beta=[0.3, 0.1, 0.2],
        model=["svm", "rf"],
        day=np.array(["2021-01-02", "2021-01-01"], dtype="M8[D]"),
    )
    runs = filled(space)
    for data in (labelled(runs, space), labelled(runs)):
        assert data.beta.values.tolist() == [0.1, 0.2, 0.3]
        assert data.model.values.tolist() == ["svm", "rf"]
        assert (np.diff(data.day.values) > np.timedelta64(0, "ns")).all()
        assert data.peak.sel(beta=0.3, model="svm", day="2021-01-02") == 0.0
        assert data.peak.sel(beta=0.2, model="rf", day="2021-01-01") == 11.0


def test_later_texts_stand_at_the_end():
    runs = filled(grid(model=["svm", "rf"]))
    runs.register(grid(model=["ada", "svm", "rf"]))
    assert labelled(runs).model.values.tolist() == ["svm", "rf", "ada"]


def test_a_part_of_the_space_has_just_its_labels():
    space = grid(beta=[0.1, 0.2, 0.3], gamma=[1, 2])
    runs = filled(space)
    data = labelled(runs, space.sel(beta=0.2))
    assert data.peak.dims == ("gamma",)
    assert data.beta.item() == 0.2
    assert data.peak.values.tolist() == [2.0, 3.0]


def test_what_was_never_registered_is_pending():
    runs = filled(grid(beta=[0.1, 0.2]))
    data = labelled(runs, grid(beta=[0.05, 0.1, 0.2]))
    assert data.status.values.tolist() == [Status.PENDING, Status.DONE, Status.DONE]
    assert data.peak.values[1:].tolist() == [0.0, 1.0]
    assert np.isnan(data.peak.values[0])
    assert np.isnan(data.seconds.values[0])
    assert data.attempts.values.tolist() == [0, 1, 1]


def test_a_stage_without_runs_is_all_pending():
    data = labelled(None, grid(beta=[0.1, 0.2]), name="sir")
    assert data.status.values.tolist() == [0, 0]
    assert data.attrs["stage"] == "sir"


def test_what_the_space_leaves_out_is_skipped():
    space = grid(a=[1, 2, 3], b=[1, 2, 3]).where(lambda a, b: a >= b)
    runs = filled(space)
    data = labelled(runs, space)
    assert (data.status.values == Status.SKIPPED).sum() == 3
    assert data.status.sel(a=1, b=3) == Status.SKIPPED
    assert int(data.peak.count()) == 6
    again = labelled(runs)
    assert again.peak.equals(data.peak)


def test_what_another_space_left_out_is_pending_where_it_is_asked_for():
    whole = grid(a=[1, 2, 3, 4], b=[1, 2, 3, 4])
    part = whole.where(lambda a, b: a > b)
    runs = filled(part)
    asked = labelled(runs, whole).status
    assert (asked.values == Status.PENDING).sum() == 10
    assert (asked.values == Status.DONE).sum() == 6
    stored = labelled(runs).status
    assert (stored.values == Status.SKIPPED).sum() == 10


def test_one_run_stands_for_what_does_not_matter():
    space = grid(kernel=["rbf", "linear"], width=[1.0, 2.0]).when(
        width=lambda kernel: kernel == "rbf"
    )
    runs = filled(space)
    for data in (labelled(runs, space), labelled(runs)):
        assert data.peak.sel(kernel="rbf").values.tolist() == [0.0, 1.0]
        assert data.peak.sel(kernel="linear").values.tolist() == [2.0, 2.0]
    flat = labelled(runs, flat=True)
    assert np.isnan(flat.width.values).sum() == 1


def test_failed_runs_have_no_values_and_integers_become_floats():
    space = grid(beta=[1, 2, 3])
    runs = filled(space, COUNT, failed=[1])
    data = labelled(runs, space)
    assert data["count"].dtype == np.float64
    assert np.isnan(data["count"].values[1])
    assert labelled(runs, space.sel(beta=[1, 3]))["count"].dtype == np.int64
    assert labelled(runs, space, mask=False)["count"].dtype == np.int64
    assert data["count"].where(data["count"].status == Status.DONE).equals(data["count"])


def test_integers_that_floats_cannot_hold_name_mask():
    space = grid(beta=[1, 2, 3])
    runs = filled(space, COUNT, [np.array([2**53 + 1, 0, 5])], failed=[1])
    data = labelled(runs, space)
    with pytest.raises(StoreError, match="mask=False"):
        data["count"].load()
    assert labelled(runs, space, mask=False)["count"].values[0] == 2**53 + 1


def test_stale_runs_keep_their_values():
    space = grid(beta=[1, 2])
    runs = filled(space)
    runs.state.set_status(np.array([1]), Status.STALE)
    data = labelled(runs, space)
    assert data.peak.values.tolist() == [0.0, 1.0]
    assert data.status.values.tolist() == [Status.DONE, Status.STALE]


def test_texts_bools_dates_and_complex_numbers_have_their_own_gaps():
    schema = Schema(
        variables=(
            Variable(name="word", kind="text"),
            Variable(name="flag", dtype="|b1"),
            Variable(name="day", dtype="<M8[ns]"),
            Variable(name="root", dtype="<c16"),
        )
    )
    days = np.array(["2020-01-01", "2020-01-02"], dtype="M8[ns]")
    columns = [
        np.array(["a", "bc"], dtype=object),
        np.array([True, False]),
        days,
        np.array([1j, 2j]),
    ]
    space = grid(beta=[1, 2])
    whole = labelled(filled(space, schema, columns), space)
    assert whole.word.values.tolist() == ["a", "bc"]
    assert whole.flag.dtype == np.bool_
    gaps = labelled(filled(space, schema, columns, failed=[1]), space)
    assert gaps.word.values.tolist() == ["a", ""]
    assert gaps.flag.values[0] == 1.0
    assert np.isnan(gaps.flag.values[1])
    assert gaps.day.values[0] == days[0]
    assert np.isnat(gaps.day.values[1])
    assert gaps.root.values[0] == 1j
    assert np.isnan(gaps.root.values[1])


def test_inner_dims_follow_with_their_coordinates():
    schema = Schema(
        variables=(Variable(name="v", dtype="<f8", dims=("time",), shape=(3,)),),
        coords={
            "time": Coord(dims=("time",), values=np.array([0.0, 0.5, 1.0]), attrs={"units": "d"})
        },
    )
    space = grid(b=[2, 1], a=[1, 2])
    data = labelled(filled(space, schema, [np.arange(12.0).reshape(4, 3)]), space, load=False)
    assert data.v.dims == ("b", "a", "time")
    assert data.time.attrs == {"units": "d"}
    assert data.v.sel(b=2, a=2, time=0.5) == 4.0
    assert data.v.isel(a=0, time=[0, 2]).values.tolist() == [[6.0, 8.0], [0.0, 2.0]]
    assert data.v[0, 1, ::2].values.tolist() == [9.0, 11.0]


def test_ragged_outputs_are_padded():
    schema = Schema(
        variables=(Variable(name="spikes", kind="ragged", dtype="<i8", dims=("spike",)),)
    )
    column = RaggedColumn(np.array([2, 0, 1]), np.array([5, 6, 7]))
    space = grid(beta=[1, 2, 3])
    data = labelled(filled(space, schema, [column]), space)
    assert data.n_spike.values.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(data.spikes.values, [[5, 6], [np.nan, np.nan], [7, np.nan]])


def test_objects_are_unpickled_where_that_is_asked_for_only():
    schema = Schema(variables=(Variable(name="model", kind="object"), *PEAK.variables))
    raw = [pickle.dumps({"run": n}) for n in range(3)]
    lengths = np.array([len(one) for one in raw])
    column = RaggedColumn(lengths, np.frombuffer(b"".join(raw), dtype=np.uint8))
    space = grid(beta=[1, 2, 3])
    runs = filled(space, schema, [column, np.arange(3.0)], failed=[2])
    data = labelled(runs, space)
    assert set(data.data_vars) == {"peak"}
    assert data.attrs["objects"] == ["model"]
    model = labelled(runs, space, unpickle=True).model
    assert model.values.tolist() == [{"run": 0}, {"run": 1}, None]


def test_rows_have_their_columns_along_their_dim():
    space = zipped("site", rate=[0.2, 0.1], size=[1, 2]) * grid(b=[1, 2])
    data = labelled(filled(space), space)
    assert data.peak.dims == ("site", "b")
    assert data.rate.dims == ("site",)
    assert data.rate.values.tolist() == [0.2, 0.1]
    assert data.site.values.tolist() == [0, 1]
    named = zipped("site", site=["n", "s"], rate=[0.2, 0.1])
    assert labelled(filled(named), named).peak.sel(site="s") == 1.0


def test_samples_and_replicates_have_numbers():
    space = sample(8, beta=(0.1, 0.5), seed=1) * grid(trial=replicates(2))
    data = labelled(filled(space))
    assert dict(data.sizes) == {"sample": 8, "trial": 2}
    assert data.beta.dims == ("sample",)
    assert data.peak.sel(trial=1, sample=0) == 1.0


def test_a_parameter_over_two_dims_is_a_coordinate():
    forcing = np.arange(6.0).reshape(2, 3)
    given_ = xr.Dataset(
        {"forcing": (("site", "year"), forcing)}, coords={"site": ["n", "s"], "year": [3, 1, 2]}
    )
    space = table(given_)
    runs = filled(space)
    for data in (labelled(runs, space), labelled(runs)):
        assert data.forcing.dims == ("site", "year")
        assert data.forcing.sel(site="s", year=3) == 3.0
        assert data.peak.sel(site="s", year=3) == 3.0


def test_runs_lie_along_one_dim_where_asked():
    space = grid(a=[2, 1], b=["x", "y"])
    flat = labelled(filled(space), flat=True)
    assert flat.peak.dims == ("run",)
    assert flat.run.values.tolist() == [0, 1, 2, 3]
    assert flat.a.values.tolist() == [2, 2, 1, 1]
    assert flat.b.values.tolist() == ["x", "y", "x", "y"]


def test_sparse_stores_are_flat_unless_forced():
    runs = filled(grid(a=range(4), b=range(4)))
    far = zipped("point", a=[i + 0.5 for i in range(30)], b=[i + 0.5 for i in range(30)])
    runs.register(far)
    assert labelled(runs).peak.dims == ("run",)
    assert labelled(runs).sizes["run"] == 46
    forced = labelled(runs, flat=False)
    assert dict(forced.sizes) == {"a": 34, "b": 34}
    assert int(forced.peak.count()) == 16
    assert forced.peak.sel(a=1.0, b=2.0) == 6.0


def test_the_type_stays_when_a_part_is_selected():
    space = grid(a=range(10), b=range(10))
    runs = filled(space, COUNT, failed=[0])
    data = labelled(runs, space, load=False)
    assert data["count"].dtype == np.float64
    part = data["count"].sel(a=5)
    assert part.dtype == np.float64
    assert part.values.tolist() == list(range(50, 60))
    assert data["count"].values.dtype == np.float64


def test_bookkeeping_survives_mean_arithmetic_and_netcdf(tmp_path):
    space = grid(a=[1, 2], b=[1, 2, 3], model=["x"])
    data = labelled(filled(space), space)
    assert "status" in (data * 2).coords
    assert data.mean("b").peak.values.tolist() == [[1.0], [4.0]]
    assert "seconds" not in data.mean().data_vars
    data.to_netcdf(tmp_path / "out.nc")
    with xr.open_dataset(tmp_path / "out.nc") as back:
        assert back.peak.equals(data.peak)
        assert "status" in back.coords
        assert back.status.attrs["flag_meanings"].split()[1] == "done"
        assert back.status.attrs["flag_values"].tolist() == [0, 1, 2, 3, 4, 5]


def test_bookkeeping_can_bear_the_name_of_the_stage():
    space = grid(a=[1, 2])
    data = labelled(filled(space), space, qualified=True)
    assert "status_sir" in data.coords
    assert "status" not in data.coords


def test_an_output_named_like_a_parameter_is_an_error():
    class Clashing(NoRuns):
        schema = widest_schema = Schema(variables=(Variable(name="a", dtype="<f8"),))

    with pytest.raises(StoreError, match="share the names"):
        labelled(Clashing("sir"), grid(a=[1, 2]))


LABELS = st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True)


@settings(max_examples=40)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=3), st.data())
def test_every_cell_shows_the_run_of_its_labels(axes, data):
    spaces = [grid(a=a, b=b) for a, b in axes]
    runs = in_memory(spaces[0])
    for space in spaces[1:]:
        runs.register(space)
    values = runs.catalogue.values(range(runs.n_runs))
    expected = np.array([10.0 * a + b for a, b in zip(values["a"], values["b"], strict=True)])
    finish(runs, PEAK, np.arange(runs.n_runs), [expected])
    for space in [*spaces, None]:
        shown = labelled(runs, space, flat=False, load=data.draw(st.booleans()))
        wanted = 10.0 * shown.a + shown.b
        there = shown.status == Status.DONE
        assert (shown.peak.where(there, 0.0) == wanted.where(there, 0.0)).all()
        assert (shown.peak.notnull().values == there.values).all()
    which = data.draw(st.integers(0, shown.sizes["a"] - 1))
    lazy = labelled(runs, flat=False, load=False)
    np.testing.assert_array_equal(lazy.peak.isel(a=which).values, shown.peak.isel(a=which).values)
