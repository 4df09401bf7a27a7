import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.errors import SpaceError
from toolkit.spaces.distribution import (
    Distribution,
    as_distribution,
    choice,
    integers,
    log,
    logit,
    normal,
)
from toolkit.spaces.grid import grid
from toolkit.spaces.sample import METHODS, sample

KINDS = {
    "linear": (-1, 3),
    "log": log(1e-3, 10),
    "logit": logit(0.01, 0.9),
    "integers": integers(-2, 4),
    "choice": choice(["a", "b", "c"]),
    "normal": normal(1, 2),
    "beta": stats.beta(2, 3),
    "poisson": stats.poisson(4),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_sample_is_reproducible_and_in_bounds(method):
    space = sample(100, KINDS, method=method, seed=3)
    assert len(space) == 100
    assert space == sample(100, KINDS, method=method, seed=3)
    assert space != sample(100, KINDS, method=method, seed=4)
    values = space.values(slice(None))
    for name in ("linear", "log", "logit", "integers", "beta"):
        low, high = as_distribution(name, KINDS[name]).bounds
        assert low <= min(values[name]) < max(values[name]) <= high
    assert {type(v) for v in values["integers"]} == {int} == {type(v) for v in values["poisson"]}
    assert set(values["choice"]) == {"a", "b", "c"}


@pytest.mark.parametrize("method", ["sobol", "halton", "uniform"])
def test_a_larger_sample_begins_with_the_smaller_one(method):
    small = sample(512, KINDS, method=method, seed=1)
    large = sample(1024, KINDS, method=method, seed=1)
    assert small.values(slice(None)) == large.isel(sample=slice(512)).values(slice(None))


def test_integers_include_both_ends_and_each_is_as_likely():
    values = sample(4096, n=integers(1, 4)).values(slice(None))["n"]
    assert {n: values.count(n) for n in set(values)} == dict.fromkeys((1, 2, 3, 4), 1024)


@given(st.floats(0, 1))
def test_quantiles_and_values_are_each_others_inverse(u):
    for name, given_ in KINDS.items():
        kind = as_distribution(name, given_)
        if name in ("normal", "beta", "poisson"):
            continue
        value = kind.ppf(np.array([u]))
        again = kind.ppf(kind.cdf(value))
        if value.dtype.kind == "f":
            assert np.allclose(value, again, rtol=1e-9, atol=1e-9)
        else:
            assert value.tolist() == again.tolist()


def test_every_kind_of_axis_is_a_distribution():
    for name, given_ in KINDS.items():
        assert isinstance(as_distribution(name, given_), Distribution)


def test_scalars_are_constants_and_samples_multiply():
    space = sample(8, a=(0, 1), model="sir", n=3) * grid(trial=[1, 2])
    assert space.sizes == {"sample": 8, "trial": 2}
    assert space.values([0])["model"] == ["sir"]


def test_the_dim_may_be_named_and_reserved_words_come_in_a_mapping():
    space = sample(4, {"seed": (0, 9), "dim": (0, 1)}, dim="draw")
    assert space.sizes == {"draw": 4}
    assert space.names == ("seed", "dim")


def test_choices_may_be_labelled_objects():
    thing = object()
    space = sample(16, x=choice({"thing": thing, "none": None}))
    assert set(space.values(slice(None))["x"]) == {thing, None}
    assert set(space.dims[0].columns[0].labels.tolist()) == {"thing", "none"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sample(8, a=[0, 1]), r"bare list.*\n.*tk\.choice"),
        (lambda: sample(8, a=(1, 0)), "low=1 above high=0"),
        (lambda: sample(8, a=(1, 1)), "equal to high"),
        (lambda: sample(8, a=(0, float("inf"))), "non-finite bound inf"),
        (lambda: sample(8, a=("x", 1)), "bound 'x'"),
        (lambda: sample(8, a=(0, 1, 2)), "no axis to draw from"),
        (lambda: sample(8, a={"x": 1}), r"tk\.choice"),
        (lambda: log(0, 1), "positive"),
        (lambda: log(2, 1), "above high"),
        (lambda: logit(0, 0.5), "both excluded"),
        (lambda: integers(0.5, 2), "whole numbers"),
        (lambda: normal(0, 0), "above 0"),
        (lambda: choice([]), "empty"),
        (lambda: choice("abc"), "takes a list"),
        (lambda: sample(8, a=(0, 1), method="sobl"), "(?s)Did you mean 'sobol'.*'halton'"),
        (lambda: sample(0, a=(0, 1)), "at least 1"),
        (lambda: sample(8), "at least one axis"),
        (lambda: sample(8, a=(0, 1), seed=(0, 1)), "in a mapping"),
        (lambda: sample(8, a=stats.norm([0, 1], 1)), "scalars"),
        (lambda: sample(8, a=stats.multivariate_normal([0, 0])), "no axis to draw from"),
        (lambda: sample(8, run=(0, 1)), "keeps this name"),
    ],
)
def test_a_wrong_sample_is_explained(make, message):
    with pytest.raises(SpaceError, match=message):
        make()
