from types import SimpleNamespace

import numpy as np
import pytest

from toolkit.stages.batch_pattern import batch_pattern
from toolkit.stages.infer import Rules, read_result

RULES = Rules("square")
RESULTS = [
    np.arange(3.0),
    np.arange(3),
    np.arange(3.0)[::-1],
    np.arange(6, dtype=np.float32).reshape(3, 2),
    np.array([True, False, True]),
    np.arange(3, dtype=">f8"),
    np.array(["a", "b", "c"]),
    np.array(["2020-01-01"] * 3, "M8[D]"),
    [1.0, 2.0, 3.0],
    {"y": np.arange(3.0), "z": np.ones((3, 2))},
    {"z": np.ones((3, 2)), "y": np.arange(3.0)},
    {"y": np.arange(3.0)},
    {"y": np.arange(3.0), "z": [1, 2, 3]},
]


@pytest.mark.parametrize("after", range(len(RESULTS)))
@pytest.mark.parametrize("first", range(len(RESULTS)))
def test_a_pattern_reads_what_looks_like_it_as_a_look_at_it_would(first, after) -> None:
    one, other = RESULTS[first], RESULTS[after]
    pattern = batch_pattern(one, read_result(one, RULES, n=3), RULES)
    if pattern is None:
        return
    found, plain = pattern.read(other, RULES, 3), read_result(other, RULES, n=3)
    assert (found is not None) == (first == after or {first, after} == {0, 2})
    if found is not None:
        assert found.schema == plain.schema
        for ours, theirs in zip(found.data, plain.data, strict=True):
            assert ours.dtype == theirs.dtype
            assert ours.tolist() == theirs.tolist()


def test_numbers_have_a_pattern_and_nothing_else() -> None:
    found = [batch_pattern(one, read_result(one, RULES, n=3), RULES) for one in RESULTS]
    assert [one is not None for one in found] == 5 * [True] + 4 * [False] + 3 * [True] + [False]


def test_a_pattern_copies_for_a_function_may_use_its_arrays_again() -> None:
    result = np.arange(3.0)
    pattern = batch_pattern(result, read_result(result, RULES, n=3), RULES)
    assert pattern is not None
    found = pattern.read(result, RULES, 3)
    result[:] = 7
    assert found.data[0].tolist() == [0, 1, 2]


def test_a_pattern_is_not_for_other_rules_or_another_length() -> None:
    result = np.arange(3.0)
    pattern = batch_pattern(result, read_result(result, RULES, n=3), RULES)
    assert pattern is not None
    assert pattern.read(result, Rules("square", parameters=frozenset({"square"})), 3) is None
    assert pattern.read(result, RULES, 4) is None


def test_what_is_declared_has_no_pattern() -> None:
    reading = SimpleNamespace(schema=None)
    assert batch_pattern(np.arange(3.0), reading, Rules("square", declared=object())) is None
