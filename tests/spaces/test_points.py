import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolkit.spaces.axis import INACTIVE, Column
from toolkit.spaces.points import Points


@given(st.lists(st.integers(1, 5), max_size=4), st.randoms(use_true_random=False))
def test_positions_are_those_of_the_cells_in_c_order(shape, random):
    points = Points(tuple(shape))
    runs = np.array(random.choices(range(len(points)), k=7))
    expected = np.unravel_index(runs, shape) if shape else ()
    found = points.positions(runs)
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_more_dims_than_numpy_has_are_fine_when_they_are_constants():
    points = Points((2,) + (1,) * 200 + (3,))
    assert points.positions([5])[-1].tolist() == [2]
    assert len(points.positions([5])) == 202


def test_left_out_cells_have_no_owner():
    points = Points((2, 2), np.array([1, 2]))
    assert points.owner.tolist() == [-1, 0, 1, -1]
    assert Points((2, 2)).owner is None
    assert [p.tolist() for p in points.positions(slice(None))] == [[0, 1], [1, 0]]


def test_the_mark_of_what_does_not_matter_survives_pickling():
    assert pickle.loads(pickle.dumps(INACTIVE)) is INACTIVE
    assert pickle.loads(pickle.dumps((INACTIVE,)))[0] is INACTIVE


def test_a_column_gives_its_mark_where_it_does_not_matter():
    column = Column(name="x", labels=np.array([1.5, 2.5]))
    assert column.values(np.array([1, -1])) == [2.5, INACTIVE]
    assert column.array(np.array([1, 0])).tolist() == [2.5, 1.5]
    assert column.array(np.array([1, -1])).tolist() == [2.5, INACTIVE]
    things = Column(name="x", labels=np.array(["a", "b"]), objects=([1], [2, 3]))
    assert things.values(np.array([1, -1])) == [[2, 3], INACTIVE]
    assert things.array(np.array([1, 0])).tolist() == [[2, 3], [1]]
