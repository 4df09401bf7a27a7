import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from toolkit.spaces.grid import grid, replicates, zipped
from toolkit.spaces.sample import sample
from toolkit.spaces.seeds import Streams

ALL = slice(None)
PINNED = [961204532282314162, 139612369559380218]


def streams(space, **kwargs):
    return Streams(kwargs.pop("seed", 0), kwargs.pop("stage", "sir"), space.dims, **kwargs)


def seeds_by_labels(space, **kwargs):
    """The seed of each run under its values, which do not depend on the order of dims."""
    seeds = streams(space, **kwargs).run_seeds(space.points().positions(ALL)).tolist()
    values = space.values(ALL)
    names = sorted(values)
    keys = zip(*(map(repr, values[name]) for name in names), strict=True)
    return dict(zip(keys, seeds, strict=True))


axis = st.lists(
    st.one_of(st.integers(-50, 50), st.sampled_from([0.5, 1.5])),
    min_size=1,
    max_size=4,
    unique=True,
)


@given(axis, axis, axis)
def test_seeds_do_not_depend_on_the_order_of_dims(a, b, c):
    one = seeds_by_labels(grid(a=a, b=b, c=c))
    assert seeds_by_labels(grid(c=c, a=a, b=b)) == one
    assert len(set(one.values())) == len(one)


@given(axis, st.randoms(use_true_random=False))
def test_seeds_do_not_depend_on_the_order_of_labels(a, random):
    shuffled = random.sample(a, len(a))
    assert seeds_by_labels(grid(a=a, b="x")) == seeds_by_labels(grid(a=shuffled, b="x"))


@given(axis, st.integers(-50, 50))
def test_seeds_do_not_depend_on_whether_a_parameter_is_a_constant_or_an_axis(a, c):
    constant = seeds_by_labels(grid(a=a, c=c))
    assert seeds_by_labels(grid(a=a, c=[c])) == constant
    extended = seeds_by_labels(grid(a=a, c=c).extend(c=[c + 1], a=[51]))
    assert constant.items() <= extended.items()
    assert seeds_by_labels(grid(a=a).with_constants({"c": c})) == constant


@given(st.integers(1, 60), st.data())
def test_seeds_do_not_depend_on_the_batch(size, data):
    space = grid(a=range(5), b=range(3), trial=replicates(4))
    every = space.points().positions(ALL)
    seeds = streams(space).run_seeds(every)
    runs = np.array(data.draw(st.lists(st.integers(0, 59), min_size=size, max_size=size)))
    batch = streams(space).run_seeds(space.points().positions(runs))
    assert np.array_equal(batch, seeds[runs])


def test_a_grid_a_zip_and_a_sample_of_the_same_values_have_the_same_seeds():
    drawn = sample(4, a=(0, 1))
    values = drawn.values(ALL)["a"]
    assert seeds_by_labels(grid(a=values)) == seeds_by_labels(drawn)
    assert seeds_by_labels(zipped("row", a=values[::-1])) == seeds_by_labels(drawn)


def test_what_does_not_matter_does_not_count():
    space = grid(kernel=["rbf", "linear"], width=[1, 2])
    space = space.when(width=lambda kernel: kernel == "rbf")
    seeds = seeds_by_labels(space)
    more = seeds_by_labels(space.extend(width=[0, 3], kernel=["poly"]))
    assert seeds.items() <= more.items()


def test_only_what_the_stage_uses_counts():
    space = grid(a=[1, 2], b=[1, 2])
    seeds = list(seeds_by_labels(space, uses={"a"}).values())
    assert seeds[0] == seeds[1] != seeds[2]
    assert seeds_by_labels(grid(a=[1, 2]), uses={"a"})[("1",)] == seeds[0]


def test_seeds_depend_on_the_seed_and_the_stage():
    space = grid(a=[1])
    found = [
        *seeds_by_labels(space).values(),
        *seeds_by_labels(space, seed=1).values(),
        *seeds_by_labels(space, stage="fit").values(),
    ]
    assert len(set(found)) == 3


def test_common_replicates_give_every_point_the_same_streams():
    space = grid(a=[1, 2], trial=replicates(3, common=True))
    seeds = list(seeds_by_labels(space).values())
    assert seeds[:3] == seeds[3:]
    assert len(set(seeds)) == 3
    own = list(seeds_by_labels(grid(a=[1, 2], trial=replicates(3))).values())
    assert len(set(own)) == 6


def test_generators_follow_from_the_rows_of_entropy():
    space = grid(a=range(3))
    made = streams(space)
    entropy = made.entropy(space.points().positions(ALL))
    draws = [made.rng(row).random() for row in entropy]
    assert len(set(draws)) == 3
    again = pickle.loads(pickle.dumps(made))
    assert [again.rng(row).random() for row in entropy] == draws


def test_run_seeds_are_63_bits_and_stay_what_they_are():
    space = grid(beta=[0.3], model="svm", trial=replicates(2))
    made = streams(space, seed=7)
    seeds = made.run_seeds(space.points().positions(ALL))
    assert seeds.dtype == np.int64
    assert (seeds >= 0).all()
    # Results that people keep depend on these numbers: they must never change.
    assert seeds.tolist() == PINNED


def test_many_seeds_are_spread_evenly_and_do_not_collide():
    space = grid(a=range(100), b=range(100), trial=replicates(20))
    seeds = streams(space).run_seeds(space.points().positions(ALL))
    assert len(np.unique(seeds)) == len(space)
    bits = (seeds[:, None] >> np.arange(63)) & 1
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.01


def test_the_tables_do_not_travel():
    space = sample(2048, a=(0, 1), b=(0, 1))
    made = streams(space)
    before = len(pickle.dumps(made))
    made.entropy(space.points().positions(ALL))
    assert len(pickle.dumps(made)) == before
