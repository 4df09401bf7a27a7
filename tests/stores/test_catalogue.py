import json
import pickle
import time

import numpy as np
import pytest
import xarray as xr

from toolkit.errors import StoreError
from toolkit.spaces.axis import INACTIVE
from toolkit.spaces.grid import grid, replicates, zipped
from toolkit.spaces.space import Space
from toolkit.spaces.table import space as table
from toolkit.stores.catalogues.block import Product, Table
from toolkit.stores.catalogues.catalogue import Catalogue


def registered(*spaces: Space, **options) -> tuple[Catalogue, list]:
    catalogue, found = Catalogue.empty(), []
    for space in spaces:
        catalogue, ids = catalogue.register(space, **options)
        found.append(list(ids))
    return catalogue, found


def through_disk(catalogue: Catalogue) -> Catalogue:
    document = json.loads(json.dumps(catalogue.to_json()))
    arrays = catalogue.stored_arrays()
    assert all(array.dtype.kind in "biufU" for array in arrays.values())
    return Catalogue.from_json(document, arrays)


def test_a_product_is_one_block_of_consecutive_ids():
    catalogue, ids = Catalogue.empty().register(grid(a=[0.1, 0.2], b=[1, 2, 3], c="x"))
    assert ids == range(6)
    assert len(catalogue.blocks) == 1
    assert catalogue.values([4]) == {"a": [0.2], "b": [2], "c": ["x"]}


def test_an_extension_keeps_ids_and_adds_a_block():
    small = grid(a=[1, 2, 3], b=[10, 20])
    catalogue, (old, new) = registered(small, small.extend(b=[15]))
    assert old == [0, 1, 2, 3, 4, 5]
    assert new == [0, 1, 6, 2, 3, 7, 4, 5, 8]
    assert catalogue.n_runs == 9
    assert len(catalogue.blocks) == 2


def test_growing_along_the_first_dim_stays_one_block():
    spaces = [grid(a=range(n), b=[1, 2]) for n in range(1, 20)]
    catalogue, found = registered(*spaces)
    assert len(catalogue.blocks) == 1
    assert found[-1] == list(range(38))


def test_permuted_dims_find_the_same_runs():
    one, other = grid(a=[1, 2], b=[1, 2, 3]), grid(b=[1, 2, 3], a=[1, 2])
    catalogue, (_, ids) = registered(one, other)
    assert catalogue.n_runs == 6
    assert ids == np.arange(6).reshape(2, 3).T.ravel().tolist()


def test_labels_in_another_order_find_the_same_runs():
    _, (_, ids) = registered(grid(a=[1, 2, 3]), grid(a=[3, 1, 4]))
    assert ids == [2, 0, 3]


def test_floats_within_1e_12_are_one_label():
    _, (_, ids) = registered(
        grid(a=[0.1234567890123, 0.5]), grid(a=[0.1234567890123 * (1 + 5e-13)])
    )
    assert ids == [0]


def test_an_int_axis_becomes_a_float_axis():
    catalogue, (_, ids) = registered(grid(a=[1, 2]), grid(a=[1.0, 1.5, 2.0]))
    assert ids == [0, 2, 1]
    assert catalogue.dims[0].columns[0].labels.dtype == np.float64


def test_a_bool_is_never_a_number():
    with pytest.raises(StoreError, match=r"'a' is a number in the store .* a bool"):
        registered(grid(a=[0, 1]), grid(a=[False, True]))


def test_text_after_numbers_names_both():
    with pytest.raises(StoreError, match=r"'a' is a number in the store \(0.5, 1.5\) and a text"):
        registered(grid(a=[0.5, 1.5]), grid(a=["x"]))


def test_numbers_after_mixed_labels_match_by_text():
    catalogue, (_, ids) = registered(grid(a=[None, 3, "auto"]), grid(a=[3, 4]))
    assert ids == [1, 3]
    assert catalogue.values(range(4)) == {"a": [None, 3, "auto", 4]}


def test_a_constant_becomes_an_axis_that_keeps_its_runs():
    catalogue, (_, ids) = registered(grid(a=[1, 2], b=5), grid(a=[1, 2], b=[4, 5]))
    assert ids == [2, 0, 3, 1]
    assert catalogue.dims[1].kind == "axis"


def test_an_argument_added_later_had_its_default():
    catalogue, _ = registered(grid(a=[1, 2]))
    later = grid(a=[1, 2], b=[7, 8])
    with pytest.raises(StoreError, match="no parameter 'b'"):
        catalogue.register(later)
    grown, ids = catalogue.register(later, defaults={"b": 7})
    assert list(ids) == [0, 2, 1, 3]
    assert list(catalogue.find(later, defaults={"b": 7})) == [0, -1, 1, -1]
    assert grown.values([1]) == {"a": [2], "b": [7]}


def test_a_default_that_is_an_object_is_found_by_its_label():
    catalogue, _ = registered(grid(a=[1, 2]))
    _, ids = catalogue.register(grid(a=[1, 2], b=[None, 0.5]), defaults={"b": None})
    assert list(ids) == [0, 2, 1, 3]


def test_a_parameter_that_the_space_lacks_is_an_error_with_the_remedy():
    with pytest.raises(StoreError, match=r"lacks the parameter 'b'.*cannot be mapped.*b=5"):
        registered(grid(a=[1, 2], b=5), grid(a=[1, 2]))


def test_left_out_cells_of_a_box_hold_ids():
    space = grid(a=range(10), b=range(10)).where(lambda a, b: a >= b)
    catalogue, (ids,) = registered(space)
    assert len(ids) == 55
    assert catalogue.n_runs == 100
    assert sorted([*ids, *catalogue.left_out()]) == list(range(100))
    grown, every = catalogue.register(grid(a=range(10), b=range(10)))
    assert grown.n_runs == 100
    assert len(grown.left_out()) == 0
    assert every == range(100)


def test_a_sparse_condition_makes_a_table():
    space = grid(a=range(100), b=range(100)).where(lambda a, b: (a * 7 + b) % 50 == 0)
    catalogue, (ids,) = registered(space)
    assert ids == list(range(len(space)))
    assert isinstance(catalogue.blocks[0], Table)
    whole, found = catalogue.register(grid(a=range(100), b=range(100)))
    assert len(set(found)) == 10_000
    assert list(whole.find(space)) == ids


def test_a_condition_that_leaves_a_box_is_that_box():
    space = grid(a=range(10), b=range(10)).where(lambda a, b: a > 4)
    catalogue, _ = registered(space)
    assert catalogue.n_runs == 50
    assert isinstance(catalogue.blocks[0], Product)
    assert len(catalogue.left_out()) == 0


def test_one_run_stands_for_all_labels_of_what_does_not_matter():
    full = grid(kernel=["rbf", "linear"], width=[0.1, 1.0, 10.0])
    space = full.when(width=lambda kernel: kernel == "rbf")
    catalogue, (ids,) = registered(space)
    assert len(ids) == 4
    values = catalogue.values(ids)
    assert values["kernel"].count("linear") == 1
    assert values["width"][values["kernel"].index("linear")] is INACTIVE
    linear = ids[values["kernel"].index("linear")]
    assert catalogue.lookup([[1], range(3)]).tolist() == [[linear] * 3]
    assert list(catalogue.find(full)).count(-1) == 3
    grown, again = catalogue.register(
        full.extend(width=[100.0]).when(width=lambda kernel: kernel == "rbf")
    )
    assert grown.n_runs == catalogue.n_runs + 1
    assert set(ids) < set(again)
    both, _ = catalogue.register(full)
    assert (both.lookup([[1], range(3)]) != linear).all()


def test_rows_are_known_by_all_their_columns():
    one = zipped("site", rate=[0.1, 0.2, 0.2], size=[1, 2, 2])
    other = zipped("site", rate=[0.9, 0.2, 0.1, 0.2, 0.2], size=[9, 2, 1, 2, 2])
    catalogue, (first, second) = registered(one, other)
    assert first == [0, 1, 2]
    assert second == [3, 1, 0, 2, 4]
    assert catalogue.n_runs == 5


def test_one_of_several_equal_rows_is_found_as_itself():
    space = zipped("site", rate=[0.1, 0.2, 0.2]) * grid(b=[1, 2])
    catalogue, _ = registered(space)
    assert list(catalogue.find(space.isel(site=2))) == [4, 5]


def test_a_labelled_row_is_another_row_when_its_label_is():
    one = zipped("site", site=["north", "south"], rate=[0.1, 0.2])
    other = zipped("site", site=["north", "west"], rate=[0.1, 0.2])
    assert registered(one, other)[1][1] == [0, 2]


def test_rows_over_axes_of_the_store_find_their_cells():
    crossed = grid(a=[1, 2, 3], b=[10, 20, 30])
    together = zipped("pair", a=[1, 3, 4], b=[10, 30, 40])
    catalogue, (_, ids) = registered(crossed, together)
    assert ids == [0, 8, 9]
    assert catalogue.n_runs == 10


def test_a_grid_over_rows_of_the_store_adds_rows():
    together = zipped("pair", a=[1, 3], b=[10, 30]) * grid(c=[0, 1])
    crossed = grid(c=[0, 1], a=[1, 3], b=[10, 30])
    catalogue, (_, ids) = registered(together, crossed)
    assert catalogue.n_runs == 8
    values = catalogue.values(ids)
    assert values == crossed.values(slice(None))
    assert ids[0] == 0
    assert ids[3] == 2


def test_a_part_selected_by_label_finds_its_runs():
    space = zipped("site", site=["n", "s"], rate=[0.1, 0.2]) * grid(b=[1, 2, 3])
    catalogue, _ = registered(space)
    assert list(catalogue.find(space.sel(site="s", b=[1, 3]))) == [3, 5]


def test_replicates_grow():
    few, more = (grid(a=[1, 2], trial=replicates(n)) for n in (2, 3))
    _, (_, ids) = registered(few, more)
    assert ids == [0, 1, 4, 2, 3, 5]


def test_objects_are_known_by_label_and_not_stored():
    catalogue, _ = registered(grid(a={"one": object(), "two": [1]}))
    assert catalogue.values([1]) == {"a": [[1]]}
    back = through_disk(catalogue)
    with pytest.raises(StoreError, match="object behind a label of parameter 'a'"):
        back.values([1])
    grown, ids = back.register(grid(a={"two": [2], "three": {}}))
    assert list(ids) == [1, 2]
    assert grown.values([1, 2]) == {"a": [[2], {}]}
    assert grown.labels([0])["a"][0].tolist() == ["one"]


def fields(forcing, rate=None) -> Space:
    data = xr.Dataset(
        {"forcing": (("site", "year"), forcing)}, coords={"site": ["n", "s"], "year": [1, 2, 3]}
    )
    return table(data)


def test_a_parameter_over_two_dims_is_checked():
    forcing = np.arange(6.0).reshape(2, 3)
    catalogue, (ids,) = registered(fields(forcing))
    assert catalogue.values(ids)["forcing"] == forcing.ravel().tolist()
    assert list(through_disk(catalogue).find(fields(forcing))) == list(ids)
    forcing[1, 0] = 9.0
    with pytest.raises(StoreError, match=r"'forcing' differs .* site=s, year=1"):
        through_disk(catalogue).register(fields(forcing))


def test_it_survives_disk_and_pickle():
    spaces = [
        grid(a=[0.5, 1.5], b=["x", "yy"], c=np.array(["2020-01-01"], dtype="M8[D]")),
        grid(a=[0.5, 2.5, 1.5], b=["z", "x"], c=np.array(["2020-01-01"], dtype="M8[D]")),
    ]
    catalogue, _ = registered(*spaces)
    for copy in (through_disk(catalogue), pickle.loads(pickle.dumps(catalogue))):
        assert copy.n_runs == catalogue.n_runs
        for space in spaces:
            assert list(copy.find(space)) == list(catalogue.find(space))
        assert copy.values(range(copy.n_runs)) == catalogue.values(range(copy.n_runs))


def test_a_damaged_record_is_a_store_error():
    catalogue, _ = registered(grid(a=[1, 2]))
    with pytest.raises(StoreError, match="damaged"):
        Catalogue.from_json(catalogue.to_json(), {})


def test_runs_that_are_not_there_are_an_error():
    catalogue, _ = registered(grid(a=[1, 2]))
    with pytest.raises(StoreError, match="Run 7 is not in this store, which holds runs 0 to 1"):
        catalogue.positions([7])


def test_runs_that_come_one_by_one_make_few_blocks():
    catalogue, seen = Catalogue.empty(), []
    generator = np.random.default_rng(0)
    catalogue, _ = catalogue.register(zipped("run_", a=[0.5], b=[0.5]))
    for _ in range(60):
        rows = generator.random((5, 2))
        catalogue, ids = catalogue.register(zipped("run_", a=rows[:, 0], b=rows[:, 1]))
        seen += list(ids)
    assert seen == list(range(1, 301))
    assert len(catalogue.blocks) < 12


def test_points_off_the_grid_one_by_one_make_few_blocks():
    catalogue, _ = registered(grid(a=range(10), b=range(10)))
    generator = np.random.default_rng(0)
    for _ in range(60):
        rows = generator.random((5, 2))
        catalogue, ids = catalogue.register(zipped("point", a=rows[:, 0], b=rows[:, 1]))
        assert len(set(ids)) == 5
    assert catalogue.n_runs == 400
    assert len(catalogue.blocks) < 14


def test_ten_million_runs_register_and_extend_quickly():
    space = grid(a=np.arange(1000.0), b=np.arange(100.0), c=range(100))
    began = time.perf_counter()
    catalogue, ids = Catalogue.empty().register(space)
    again = catalogue.find(space)
    assert time.perf_counter() - began < 0.1
    assert ids == again == range(10_000_000)
    assert len(pickle.dumps(catalogue)) < 20_000


@pytest.mark.parametrize("repeats", [1, 3])
def test_points_that_come_one_by_one_stay_in_few_blocks(repeats):
    rng = np.random.default_rng(0)
    points = rng.permutation([(x, y) for x in range(30) for y in range(20)])[:400]
    catalogue = Catalogue.empty()
    ids = []
    for x, y in points.tolist():
        space = grid(x=[x], y=[y], trial=list(range(repeats)))
        catalogue, found = catalogue.register(space)
        ids += list(found)
    assert ids == list(range(400 * repeats))
    assert len(catalogue.blocks) < 40
    again = through_disk(catalogue)
    whole = grid(x=range(30), y=range(20), trial=list(range(repeats)))
    assert sorted(i for i in np.asarray(again.find(whole)).tolist() if i >= 0) == ids
    x, y, trial = again.labels(ids).values()
    assert np.array_equal(x[0], np.repeat(points[:, 0], repeats))
    assert np.array_equal(y[0], np.repeat(points[:, 1], repeats))
    assert np.array_equal(trial[0], np.tile(np.arange(repeats), 400))
