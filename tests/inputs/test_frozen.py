import gc
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter, namedtuple

import networkx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

import toolkit as tk
from toolkit.inputs import folder, held

pytestmark = pytest.mark.usefixtures("home")
Point = namedtuple("Point", "x y")


class Named(np.ndarray):
    label = ""


def named(label: str) -> Named:
    array = np.arange(600.0).view(Named)
    array.label = label
    return array


class Model:
    def __init__(self, weights):
        self.weights = weights

    def __eq__(self, other):
        return np.array_equal(self.weights, other.weights)


def content(array):
    """Return the bytes of all fields, and nothing of what is between them."""
    if array.dtype.names is None:
        return array.tobytes()
    return [content(array[name]) for name in array.dtype.names]


def files(home):
    return sorted(path.name for path in home.iterdir())


dtypes = st.one_of(
    arrays_of.scalar_dtypes(),
    arrays_of.array_dtypes(max_size=3),
    st.just(np.dtype([("a", "f8"), ("b", "i2", (2, 3))], align=True)),
)
shapes = arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12)
cuts = st.sampled_from(["as is", "every second", "reversed", "transposed", "Fortran"])


@given(st.data(), cuts)
def test_any_array_comes_back_equal_and_read_only(data, cut):
    array = data.draw(arrays_of.arrays(data.draw(dtypes), data.draw(shapes)))
    if array.ndim:
        array = {
            "as is": array,
            "every second": array[::2],
            "reversed": array[::-1],
            "transposed": array.T,
            "Fortran": np.asfortranarray(array),
        }[cut]
    found = tk.freeze(array).get()
    assert found.dtype == array.dtype
    assert found.shape == array.shape
    assert content(found) == content(array)
    assert not found.flags.writeable
    assert found.flags.f_contiguous == array.flags.f_contiguous or not array.flags.forc


@pytest.mark.parametrize(
    "array",
    [
        np.array([{"a": 1}, [2], None, "text"], dtype=object),
        np.array([(1, [2]), (3, None)], dtype=[("number", int), ("object", object)]),
        np.array(["short", "a text that is longer than the others"], np.dtypes.StringDType()),
        np.array(["2020-01-01", "NaT"] * 100, dtype="datetime64[ns]"),
        np.array(3.5),
        np.zeros((0, 4)),
        np.zeros(3, dtype="V0"),
        np.arange(4000, dtype=">i4").reshape(40, 100)[::3, ::-7],
    ],
    ids=["objects", "records of objects", "text", "dates", "scalar", "empty", "void", "strided"],
)
def test_unusual_arrays_come_back_equal_and_read_only(array):
    found = tk.freeze(array).get()
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert not found.flags.writeable
    with pytest.raises(ValueError, match=r"WRITEABLE|read-only"):
        found.flags.writeable = True


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_subclasses_stay_what_they_are(tmp_path):
    masked = np.ma.masked_greater(np.arange(900.0), 500)
    matrix = np.matrix(np.eye(30))
    record = np.rec.array([(1, 2.0)] * 100, names="a,b")
    found = tk.freeze([masked, matrix, record, named("station")]).get()
    assert [type(each) for each in found] == [
        np.ma.MaskedArray,
        np.matrix,
        np.recarray,
        Named,
    ]
    assert np.ma.allequal(found[0], masked)
    assert found[0].mask.sum() == 399
    assert found[2].b[3] == 2.0
    assert found[3].label == "station"
    for each in found:
        with pytest.raises(ValueError, match="read-only"):
            each[0] = each[1]


def test_a_memory_map_becomes_a_plain_array(tmp_path):
    mapped = np.memmap(tmp_path / "m", dtype="f4", mode="w+", shape=(50, 40))
    mapped[:] = 3
    found = tk.freeze(mapped).get()
    assert type(found) is np.ndarray
    assert (found == 3).all()


def test_buffers_are_mapped_and_aligned():
    frozen = tk.freeze({"odd": np.arange(1001, dtype="u1"), "next": np.arange(1000.0)})
    for array in frozen.get().values():
        assert array.ctypes.data % 64 == 0
        assert held.inputs_around(array[3:]) == {frozen.token}


TABLE = pd.DataFrame(
    {"a": np.arange(500.0), "b": ["x", "y"] * 250, "c": pd.Categorical(["u"] * 500)}
)
GRID = xr.Dataset({"t": (("x", "y"), np.ones((40, 50)))}, {"x": np.arange(40)})
GRAPH = networkx.karate_club_graph()


@pytest.mark.parametrize(
    ("value", "is_equal"),
    [
        (TABLE, pd.DataFrame.equals),
        (TABLE.b, pd.Series.equals),
        (TABLE.set_index(["a", "b"]).index, pd.Index.equals),
        (GRID, xr.Dataset.identical),
        (GRID.t, xr.DataArray.identical),
        (scipy.sparse.random_array((90, 80), density=0.2, format="csr", rng=1), None),
        (GRAPH, networkx.utils.graphs_equal),
        (Point(np.arange(5.0), [1, {2: "a"}]), None),
        ({"nested": [(np.arange(2000), {"deep": TABLE}), {"s", "e"}, None]}, None),
        (Model(np.arange(700)), None),
        (lambda x: x + 1, lambda one, other: one(2) == other(2)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_objects_come_back_equal(value, is_equal):
    found = tk.freeze(value).get()
    assert type(found) is type(value)
    if is_equal is not None:
        assert is_equal(found, value)
    elif scipy.sparse.issparse(value):
        assert (found != value).nnz == 0
        assert not found.data.flags.writeable
    elif isinstance(value, dict):
        array, deep = found["nested"][0]
        assert deep["deep"].equals(TABLE)
        assert array.sum() == 1999 * 1000
        assert found["nested"][1:] == value["nested"][1:]
    elif isinstance(value, Point):
        assert found.y == value.y
    else:
        assert found == value


def test_the_arrays_of_a_table_are_read_only():
    found = tk.freeze(TABLE).get()
    with pytest.raises(ValueError, match="read-only"):
        found["a"].to_numpy()[0] = 9
    with pytest.raises(ValueError, match="read-only"):
        tk.freeze(GRID).get().t.values[0] = 9


def test_what_is_read_from_a_file_is_frozen_with_its_values(tmp_path):
    GRID.to_zarr(tmp_path / "g.zarr", zarr_format=3, consolidated=False)
    lazy = xr.open_zarr(tmp_path / "g.zarr", consolidated=False, chunks={"x": 40})
    frozen = tk.freeze({"grid": lazy})
    (tmp_path / "g.zarr").rename(tmp_path / "moved.zarr")
    assert frozen.get()["grid"].t.variable._in_memory
    assert frozen.get()["grid"].t.sum() == 2000
    with pytest.raises(tk.FrozenError, match=r"Freeze its \.compute"):
        tk.freeze(lazy.t.data)


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(tk.FrozenError, match=r"'feed' cannot be frozen.*generator.*Freeze what"):
        tk.freeze({"a": (x for x in [1])}, name="feed")


def test_the_same_object_twice_is_one_object():
    array = np.arange(1000.0)
    found = tk.freeze([array, {"again": array}]).get()
    assert found[0] is found[1]["again"]


def test_what_is_frozen_does_not_follow_the_original():
    array = np.zeros(1000)
    frozen = tk.freeze(array)
    array[:] = 1
    assert frozen.get().sum() == 0


def test_a_handle_pickles_small_and_means_the_same():
    frozen = tk.freeze(np.zeros(1_000_000), name="zeros")
    payload = pickle.dumps(frozen)
    assert len(payload) < 400
    again = pickle.loads(payload)
    assert again == frozen
    assert hash(again) == hash(frozen)
    assert again.get() is frozen.get()
    assert again.__dask_tokenize__() == frozen.token
    assert repr(again) == "<frozen 'zeros': ndarray (1000000,) float64, 8 MB>"
    assert "ndarray (1000000,) float64" in again._repr_html_()
    assert frozen.named("noughts").name == "noughts"
    assert tk.freeze(frozen) is frozen


def test_equal_content_is_one_file(home):
    one, other = tk.freeze(np.arange(5000)), tk.freeze(np.arange(5000))
    assert one == other
    assert files(home) == [f"{one.token}.frozen"]
    assert tk.freeze(np.arange(5001)) != one


def test_threads_load_once():
    frozen = tk.freeze(np.arange(300_000))
    before = Counter(held.loads)
    barrier = threading.Barrier(8)
    found = []

    def get():
        barrier.wait()
        found.append(frozen.get())

    threads = [threading.Thread(target=get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each is found[0] for each in found)
    assert (held.loads - before)[frozen.token] == 1


def test_the_last_handle_takes_the_file_with_it(home):
    frozen = tk.freeze(np.arange(5000))
    other = pickle.loads(pickle.dumps(frozen))
    array = frozen.get()
    del frozen
    assert len(files(home)) == 1
    del other
    assert files(home) == []
    assert array[4999] == 4999  # what is mapped stays readable


def test_handles_that_die_in_a_cycle_go_too(home):
    cycle = [tk.freeze(np.arange(5000))]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert files(home) == []


IDENTITY = """
import numpy as np, toolkit as tk
class Config:
    def __init__(self): self.names = {"alpha", "beta", "gamma", "delta"}; self.data = np.arange(1e4)
print(tk.freeze([Config(), frozenset("abcdefgh"), Config]).identity)
"""


def test_sets_and_classes_of_a_script_have_the_same_identity_in_every_process():
    found = {
        subprocess.run(
            [sys.executable, "-c", IDENTITY],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(found) == 1


@given(arrays_of.arrays("i4", arrays_of.array_shapes(max_side=300, max_dims=2)), st.data())
def test_one_changed_number_is_another_identity(array, data):
    other = array.copy()
    place = data.draw(st.integers(0, array.size - 1))
    other.reshape(-1)[place] ^= 1
    one, two = tk.freeze({"a": array}), tk.freeze({"a": other})
    assert one.identity != two.identity
    assert one.token != two.token
    assert one.identity == tk.freeze({"a": array.copy()}).identity


def test_a_forked_child_leaves_the_file_of_its_parent(home):
    frozen = tk.freeze(np.arange(5000))
    frozen.get()
    code = (
        "import os, numpy as np, toolkit as tk\n"
        "frozen = tk.freeze(np.arange(5000)); frozen.get()\n"
        "if os.fork() == 0:\n"
        "    assert frozen.get()[7] == 7\n"
        "    raise SystemExit\n"
        "assert os.wait()[1] == 0\n"
        "del frozen\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert files(home) == [f"{frozen.token}.frozen"]
    assert folder.sweep() == 0
