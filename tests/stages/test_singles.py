from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.run_status import Status
from toolkit.stages.batch import BatchResult, run_batch
from toolkit.stages.binding import bind
from toolkit.stages.columns import concatenate
from toolkit.stages.current import current_run
from toolkit.stages.schema import RaggedColumn
from toolkit.stages.singles import run_singly
from toolkit.stages.stage import stage


def singly(function: Callable, n: int, schema=None) -> list[BatchResult]:
    call = bind(stage(function), {"i": "axis"}).call
    return list(run_singly(call, {"i": list(range(n))}, range(n), schema=schema))


def together(function: Callable, n: int, schema=None) -> list[BatchResult]:
    call = bind(stage(function), {"i": "axis"}).call
    results = []
    for run in range(n):
        result = run_batch(call, {"i": [run]}, [run], schema=schema)
        schema = result.schema or schema
        results.append(result)
    return results


def plain(columns: list | None) -> object:
    if columns is None:
        return None
    return [
        (column.lengths.tolist(), column.values.tolist())
        if isinstance(column, RaggedColumn)
        else (column.dtype, column.shape, repr(column.tolist()))
        for column in columns
    ]


VALUES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from([None, np.arange(3.0), np.arange(2), {"a": 1, "b": 2.0}, {"a": 1.5}]),
    st.just(ValueError("planted")),
)


@given(st.lists(VALUES, min_size=1, max_size=8))
def test_each_outcome_is_that_of_a_batch_of_one(values: list) -> None:
    def f(i):
        if isinstance(values[i], ValueError):
            raise values[i]
        return values[i]

    for one, other in zip(singly(f, len(values)), together(f, len(values)), strict=True):
        assert one.status.tolist() == other.status.tolist()
        assert one.schema == other.schema
        assert plain(one.columns) == plain(other.columns)
        assert [each.message for each in one.errors] == [each.message for each in other.errors]


@pytest.mark.parametrize("value", [1.5, "text", np.arange(3.0), {"a": 1, "b": np.ones(2)}])
def test_outcomes_keep_their_values_when_later_runs_follow(value: object) -> None:
    results = singly(lambda i: value, 4)
    schema, columns = results[0].schema, [result.columns for result in results]
    assert all(result.schema is schema for result in results)
    assert [plain(each) for each in columns] == [plain(columns[0])] * 4


def test_a_buffer_that_a_function_uses_again_is_copied() -> None:
    buffer = np.zeros(2)

    def f(i):
        buffer[:] = i
        return buffer

    found = [result.columns[0].tolist() for result in singly(f, 3)]
    assert found == [[[0.0, 0.0]], [[1.0, 1.0]], [[2.0, 2.0]]]


def test_each_run_knows_its_id_and_loses_its_scratch_folder_when_it_is_done() -> None:
    folders = []

    def f(i):
        assert not any(folder.exists() for folder in folders)
        folders.append(current_run().scratch)
        return current_run().id

    assert [result.columns[0].tolist() for result in singly(f, 3)] == [[0], [1], [2]]
    assert not any(folder.exists() for folder in folders)


def test_a_run_that_raises_ends_no_other() -> None:
    def f(i):
        if i == 1:
            raise ValueError("planted")
        return float(i)

    results = singly(f, 3)
    statuses = [int(result.status[0]) for result in results]
    assert statuses == [Status.DONE, Status.FAILED, Status.DONE]
    assert concatenate([results[0].columns, results[2].columns])[0].tolist() == [0.0, 2.0]
    assert "planted" in results[1].errors[0].traceback
