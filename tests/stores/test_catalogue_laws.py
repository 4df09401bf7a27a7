"""Laws that any sequence of spaces obeys."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import StoreError
from toolkit.spaces.axis import INACTIVE
from toolkit.spaces.grid import grid, zipped
from toolkit.stores.catalogues.box import as_array, compact, subtract_box
from toolkit.stores.catalogues.catalogue import Catalogue

NAMES = ("a", "b", "c")
labels = st.lists(st.integers(0, 6), min_size=1, max_size=4, unique=True)


@st.composite
def spaces(draw):
    """A grid, maybe conditional, or rows, over the same three parameters."""
    order = draw(st.permutations(NAMES))
    kind = draw(st.sampled_from(["grid", "grid", "where", "when", "zip", "mixed"]))
    if kind in ("zip", "mixed"):
        rows = draw(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=6))
        columns = dict(zip(order, map(list, zip(*rows, strict=True)), strict=True))
        if kind == "zip":
            return zipped("row", columns)
        alone = {order[0]: sorted(set(columns.pop(order[0])))}
        return grid(alone) * zipped("row", columns)
    space = grid({name: draw(labels) for name in order})
    if kind == "where":
        modulus = draw(st.integers(2, 5))
        kept = lambda a, b, c: (a + 2 * b + 3 * c) % modulus > 0  # noqa: E731
        return space if not any(kept(**p) for p in points(space)) else space.where(kept)
    if kind == "when":
        return space.when(c=lambda a: a % 2 == 0)
    return space


def points(space) -> list[dict]:
    values = space.values(slice(None))
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def keys(space) -> list[tuple]:
    """The label tuple of each run; equal rows of a zip count up."""
    return [tuple(p[name] for name in NAMES) for p in points(space)]


@settings(max_examples=150)
@given(st.lists(spaces(), min_size=1, max_size=5))
def test_ids_never_change_and_each_label_tuple_has_one(sequence):
    catalogue, known, registered = Catalogue.empty(), {}, []
    rows = any(dim.kind == "rows" for dim in sequence[0].dims)
    c_in_rows = any(
        dim.kind == "rows" and "c" in [column.name for column in dim.columns]
        for dim in sequence[0].dims
    )
    for space in sequence:
        before = catalogue.n_runs
        if c_in_rows and any(INACTIVE in key for key in keys(space)):
            with pytest.raises(StoreError, match=r"leave out when\(\)"):
                catalogue.register(space)
            continue
        catalogue, ids = catalogue.register(space)
        ids = list(ids)
        registered.append(space)
        assert min(ids) >= 0
        assert list(catalogue.find(space)) == ids
        values = catalogue.values(ids)
        assert list(zip(*(values[name] for name in NAMES), strict=True)) == keys(space)
        seen = {}
        for key, number in zip(keys(space), ids, strict=True):
            nth = seen[key] = seen.get(key, -1) + 1
            if not rows:
                nth = 0
            assert known.setdefault((key, nth), number) == number
        assert len(set(known.values())) == len(known)
        fresh = set(range(before, catalogue.n_runs)) - set(ids)
        assert fresh <= set(catalogue.left_out(before).tolist())
        assert not set(ids) & set(catalogue.left_out().tolist())
    arrays = catalogue.stored_arrays()
    back = Catalogue.from_json(json.loads(json.dumps(catalogue.to_json())), arrays)
    for space in registered:
        assert list(back.find(space)) == list(catalogue.find(space))
        assert back.register(space)[0].n_runs == catalogue.n_runs


@settings(max_examples=100)
@given(st.lists(spaces(), min_size=1, max_size=4))
def test_outer_and_pointwise_lookup_agree_with_positions(sequence):
    catalogue = Catalogue.empty()
    for space in sequence:
        with contextlib.suppress(StoreError):  # when() over rows
            catalogue, _ = catalogue.register(space)
    outer = catalogue.lookup([range(size) for size in catalogue.shape])
    cells = np.indices(catalogue.shape).reshape(len(catalogue.shape), -1)
    assert (catalogue.lookup(list(cells), pointwise=True) == outer.ravel()).all()
    found = outer[outer >= 0]
    positions = catalogue.positions(found)
    for at, cell in zip(positions, np.nonzero(outer >= 0), strict=True):
        assert ((at == cell) | (at == -1)).all()
    active = [n for n in range(catalogue.n_runs) if INACTIVE not in
              [v[0] for v in catalogue.values([n]).values()]]  # fmt: skip
    assert set(active) - set(catalogue.left_out().tolist()) <= set(found.tolist())


boxes = st.lists(
    st.lists(st.integers(0, 7), min_size=1, max_size=6, unique=True), min_size=2, max_size=2
)


def cells(box) -> set:
    first, second = (as_array(axis).tolist() for axis in box)
    return {(x, y) for x in first for y in second}


@given(boxes, boxes)
def test_a_box_less_a_box_is_the_difference_of_their_cells(one, other):
    one, other = (tuple(compact(axis) for axis in box) for box in (one, other))
    pieces = subtract_box(one, other)
    assert len(pieces) <= 2
    found = [cell for piece in pieces for cell in cells(piece)]
    assert len(found) == len(set(found))
    assert set(found) == cells(one) - cells(other)
