import datetime
import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.run_status import Status
from toolkit.spaces.axis import INACTIVE, Column, Dim
from toolkit.spaces.seeds import Streams
from toolkit.stages.batch import BatchResult, run_batch
from toolkit.stages.binding import bind
from toolkit.stages.columns import concatenate
from toolkit.stages.current import current_run
from toolkit.stages.infer import Rules, read_result
from toolkit.stages.output import ragged
from toolkit.stages.schema import RaggedColumn
from toolkit.stages.stage import stage


def batch(function: Callable, values: dict, runs=None, **options) -> BatchResult:
    made = {k: options.pop(k) for k in list(options) if k in ("outputs", "retry_on", "name")}
    call = bind(stage(function, **made), dict.fromkeys(values, "axis")).call
    n = len(next(iter(values.values())))
    return run_batch(call, values, range(n) if runs is None else runs, **options)


def rows(result: BatchResult, number=0) -> list:
    column = result.columns[number]
    if isinstance(column, RaggedColumn):
        return [column.row(i).tolist() for i in range(len(column))]
    return column.tolist()


def returns(results: list, **options) -> BatchResult:
    """Run a function that returns these results, or raises those that are exceptions."""

    def f(i):
        if isinstance(results[i], BaseException):
            raise results[i]
        return results[i]

    return batch(f, {"i": list(range(len(results)))}, **options)


@pytest.mark.parametrize(
    ("results", "dtype"),
    [
        ([1.0, 2.0, 3.0], "<f8"),
        ([1, 2], "<i8"),
        ([True, False], "|b1"),
        (["a", "longer text"], ""),
        ([1j, 2j], "<c16"),
        ([np.float32(1), np.float32(2)], "<f4"),
        ([1, 2.5, 3], "<f8"),
        ([1.0, np.float64(2), 3], "<f8"),
        ([np.int8(1), 2], "<i8"),
        ([1.0, 1j], "<c16"),
        ([np.array([1.0, 2.0]), np.array([3.0, 4.0])], "<f8"),
        ([np.array([1, 2]), np.array([3.5, 4.0])], "<f8"),
        ([[1, 2], [3, 4]], "<i8"),
    ],
)
def test_values_come_back_as_returned(results, dtype):
    result = returns(results)
    assert result.status.tolist() == [Status.DONE] * len(results)
    assert rows(result) == [np.asarray(value).tolist() for value in results]
    assert result.schema.variables[0].dtype == dtype


@pytest.mark.parametrize(
    ("results", "culprit", "words"),
    [
        ([np.zeros(3), np.zeros(4), np.zeros(3)], 1, "(3,) then (4,)"),
        ([1.0, "text", 2.0], 1, "float64 then text"),
        ([True, 2, False], 1, "bool then int64"),
        ([1, 2**70, 3], 1, "beyond 64 bits"),
        ([1.5, 2**53 + 1, 3], 1, "float64 cannot hold exactly"),
        ([2**53 + 1, 0.5, 3], 1, "float64 cannot hold exactly"),
        ([{"a": 1}, {"b": 1}, {"a": 2}], 1, "a; then b"),
        ([{"a": 1.0}, {"a": 1.0, "b": 2}, {"a": 2.0}], 1, "a; then a, b"),
        ([1.0, None, 2.0], 1, "returned None"),
        ([1.0, (1, 2), 2.0], 1, "tuple of 2"),
        ([1.0, [1.0], 2.0], 1, "() then (1,)"),
        ([1.0, {1, 2}, 2.0], 1, "float64 then object"),
    ],
)
def test_a_run_that_does_not_fit_fails_and_names_both(results, culprit, words):
    result = returns(results)
    expected = [Status.DONE] * len(results)
    expected[culprit] = Status.FAILED
    assert result.status.tolist() == expected
    assert [error.run for error in result.errors] == [culprit]
    assert words in result.errors[0].message


def test_a_dict_of_scalars_in_any_order_is_two_columns():
    result = returns([{"a": 1, "b": 2.0}, {"b": 3.0, "a": 4}, {"a": 5.5, "b": 6}])
    assert result.schema.names == ("a", "b")
    assert (rows(result, 0), rows(result, 1)) == ([1.0, 4.0, 5.5], [2.0, 3.0, 6.0])


def test_a_tuple_with_names_is_columns():
    result = batch(lambda x: (x, str(x)), {"x": [1, 2]}, outputs=["a", "b"])
    assert (rows(result, 0), rows(result, 1)) == ([1, 2], ["1", "2"])


def test_three_of_many_raise_and_only_these_fail():
    def f(x):
        if x % 40 == 7:
            raise ValueError(f"no {x}")
        return float(x)

    result = batch(f, {"x": list(range(100))}, runs=range(1000, 1100))
    assert np.flatnonzero(result.status == Status.FAILED).tolist() == [7, 47, 87]
    assert [e.run for e in result.errors] == [1007, 1047, 1087]
    assert result.errors[0].exception == "ValueError"
    assert result.errors[0].message == "no 7"
    assert "in f\n" in result.errors[0].traceback
    assert "toolkit/stages/batch.py" not in result.errors[0].traceback
    assert np.isnan(result.columns[0][7])
    assert result.columns[0][8] == 8.0


def test_the_first_runs_may_fail():
    result = returns([KeyError("a"), SystemExit(3), 2.0, 3.0])
    assert [e.exception for e in result.errors] == ["KeyError", "SystemExit"]
    assert rows(result)[2:] == [2.0, 3.0]


def test_where_all_fail_there_is_no_schema():
    result = returns([ValueError(), ValueError()])
    assert result.schema is None
    assert result.columns is None


def test_ctrl_c_passes():
    with pytest.raises(KeyboardInterrupt):
        returns([1.0, KeyboardInterrupt()])


def test_retryable_failures_say_so():
    def f(x):
        raise (ConnectionResetError if x else ValueError)("gone")

    result = batch(f, {"x": [0, 1]}, retry_on=OSError)
    assert [e.retryable for e in result.errors] == [False, True]


def test_one_buffer_for_all_runs_is_copied():
    buffer, shared = np.zeros(2), {"a": 0.0}

    def array(x):
        buffer[:] = x
        return buffer

    def mapping(x):
        shared["a"] = x
        return shared

    assert rows(batch(array, {"x": [1.0, 2.0, 3.0]})) == [[1, 1], [2, 2], [3, 3]]
    assert rows(batch(mapping, {"x": [1.0, 2.0, 3.0]})) == [1, 2, 3]


def test_effects_have_no_columns():
    result = batch(lambda x: None, {"x": [1, 2]}, outputs="effects")
    assert result.columns == []
    assert result.status.tolist() == [1, 1]


def test_declared_types_do_not_widen():
    result = batch(lambda x: x, {"x": [0, 0.5, 2]}, outputs={"n": int})
    assert result.status.tolist() == [1, 2, 1]
    assert "declared int64 and returned float64 0.5" in result.errors[0].message
    result = batch(lambda x: x, {"x": [0, 40000, 2]}, outputs={"n": "i2"})
    assert result.status.tolist() == [1, 2, 1]
    assert result.columns[0].dtype == np.int16


def test_ragged_objects_dates_and_dataarrays():
    result = batch(lambda x: [0.5] * x, {"x": [2, 0, 1]}, outputs={"s": ragged("k")})
    assert rows(result) == [[0.5, 0.5], [], [0.5]]
    result = batch(lambda x: {x}, {"x": [2, 0]})
    assert result.schema.variables[0].kind == "object"
    day = datetime.date(2020, 1, 1)
    result = batch(lambda x: day + datetime.timedelta(x), {"x": [0, 1]})
    assert result.columns[0].astype("M8[D]").tolist() == [day, day + datetime.timedelta(1)]

    def series(x):
        return xr.DataArray([x, x], dims="t", coords={"t": [0, x // 3]})

    result = batch(series, {"x": [1, 2, 3]})
    assert result.status.tolist() == [1, 1, 2]
    assert "Coordinate 't' differs" in result.errors[0].message


def test_a_known_schema_is_kept_or_widened():
    known = read_result(1, Rules("f")).schema
    result = batch(lambda x: x, {"x": [2, 3]}, name="f", schema=known)
    assert result.schema is known
    result = batch(lambda x: x, {"x": [2, 3.5]}, name="f", schema=known)
    assert result.schema.variables[0].dtype == "<f8"
    result = batch(lambda x: str(x), {"x": [2, 3]}, name="f", schema=known)
    assert result.status.tolist() == [2, 2]
    assert result.schema is known
    assert rows(result) == [0, 0]


def test_a_parameter_that_does_not_matter_is_its_default_or_none():
    seen = []

    def f(kernel, width=3, depth=None):
        seen.append((kernel, width, depth))
        return 1.0

    call = bind(stage(f), {"kernel": "axis", "width": "axis", "depth": "axis"}).call
    values = {"kernel": ["a", "b"], "width": [INACTIVE, 2], "depth": [1, INACTIVE]}
    run_batch(call, values, [0, 1])
    assert seen == [("a", 3, 1), ("b", 2, None)]


def test_the_run_in_progress_is_marked():
    mark = memoryview(np.full(1, -1, np.int64))
    seen = []
    batch(lambda x: seen.append(mark[0]) or 1.0, {"x": [0, 0]}, runs=[17, 4], mark=mark)
    assert seen == [17, 4]


def test_seconds_and_peak_memory_belong_to_their_run():
    def f(megabytes):
        time.sleep(0.012 if megabytes else 0)
        return float(np.ones(megabytes * 131072).sum())

    result = batch(f, {"megabytes": [0, 60, 1]}, measure_memory=True)
    assert result.seconds[1] > 0.011
    assert np.isnan(result.peak_memory[0])


def streams_of(n, seed=1):
    column = Column(name="x", labels=np.arange(n))
    return Streams(seed, "f", (Dim(name="x", size=n, columns=(column,), kind="axis"),))


def draw(x, rng, run_seed):
    return {"double": 2 * x, "u": rng.random(), "seed": run_seed, "text": "t" * (x % 3)}


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.lists(st.integers(1, 12), max_size=3))
def test_a_batch_size_never_changes_a_value(n, cuts):
    call = bind(stage(draw), {"x": "axis"}).call
    streams = streams_of(n)
    whole = run_batch(
        call, {"x": list(range(n))}, range(n), streams=streams, positions=(np.arange(n),)
    )
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts, schema = [], None
    for lo, hi in itertools.pairwise(edges):
        part = run_batch(
            call,
            {"x": list(range(lo, hi))},
            range(lo, hi),
            streams=streams,
            positions=(np.arange(lo, hi),),
            schema=schema,
        )
        schema = part.schema
        parts.append(part.columns)
    assert schema == whole.schema
    for a, b in zip(concatenate(parts), whole.columns, strict=True):
        assert a.tolist() == b.tolist()


scalars = st.one_of(
    st.floats(),
    st.integers(-(2**64), 2**64),
    st.booleans(),
    st.text(max_size=3),
    st.complex_numbers(),
)
results = st.lists(
    st.one_of(scalars, st.lists(st.integers(0, 9), max_size=2).map(np.array)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(results)
def test_no_value_is_ever_cut(values):
    result = returns(values)
    for index, value in enumerate(values):
        if result.status[index] == Status.DONE:
            found = result.columns[0][index]
            assert np.array_equal(found, value, equal_nan=not isinstance(value, str))
            if isinstance(value, int):
                assert int(found.real) == value
    assert [e.run for e in result.errors] == np.flatnonzero(result.status == 2).tolist()


many = st.lists(
    st.one_of(
        st.floats(allow_nan=False).map(lambda x: [x] * 40),
        st.sampled_from([[1], ["t"], [None], [ValueError("planted")], [ValueError("planted")] * 3]),
    ),
    min_size=1,
    max_size=8,
).map(lambda groups: list(itertools.chain(*groups)))


@settings(max_examples=80, deadline=None)
@given(many)
def test_brief_runs_are_the_same_with_fewer_looks_at_the_clock(values):
    looked, brief = returns(values), returns(values, brief=True)
    assert brief.status.tolist() == looked.status.tolist()
    assert brief.schema == looked.schema
    for a, b in zip(looked.columns or (), brief.columns or (), strict=True):
        assert repr(a.tolist()) == repr(b.tolist())
    assert [each.run for each in brief.errors] == [each.run for each in looked.errors]
    assert len(brief.seconds) == len(values)
    assert np.isfinite(brief.seconds).all()


def test_brief_runs_share_the_seconds_of_their_group():
    def f(i):
        time.sleep(0.01 if i == 20 else 0)
        return float(i)

    seconds = batch(f, {"i": list(range(130))}, brief=True).seconds
    assert [len(set(seconds[cut].tolist())) for cut in (slice(1, 65), slice(65, 129))] == [1, 1]
    assert seconds[1:65].sum() >= 0.01


def test_a_brief_run_knows_its_id_and_index():
    def f(i):
        return float(current_run().id)

    assert rows(batch(f, {"i": [0] * 200}, brief=True)) == list(range(200))


def test_draws_from_global_generators_are_noticed():
    result = batch(lambda x: float(np.random.rand()), {"x": [1]}, watch_globals=True)  # noqa: NPY002
    assert result.global_draws == ("np.random",)
    assert batch(lambda x: x, {"x": [1]}, watch_globals=True).global_draws == ()
