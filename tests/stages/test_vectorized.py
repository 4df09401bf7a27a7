import numpy as np
import pytest

from toolkit.errors import StageError
from toolkit.spaces.axis import INACTIVE, Column, Dim
from toolkit.spaces.seeds import Streams
from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.failure import PartialFailureError
from toolkit.stages.output import ragged
from toolkit.stages.stage import stage
from toolkit.stages.trial import Trial

DIM = Dim(name="x", size=4, columns=(Column(name="x", labels=np.arange(4)),), kind="axis")


def together(function, values, **options):
    outputs = options.pop("outputs", None)
    made = stage(function, vectorized=True, outputs=outputs)
    n = len(next(iter(values.values())))
    return run_batch(bind(made, dict.fromkeys(values, "axis")).call, values, range(n), **options)


def test_arrays_go_in_and_come_out():
    result = together(
        lambda x, y: {"sum": x + y, "both": np.stack([x, y], axis=1)},
        {"x": np.arange(3.0), "y": np.ones(3)},
    )
    assert result.columns[0].tolist() == [1, 2, 3]
    assert result.columns[1].shape == (3, 2)
    assert result.schema.variables[1].dims == ("both_dim0",)
    assert len(set(result.seconds.tolist())) == 1


def test_a_wrong_length_names_both():
    result = together(lambda x: x[:2], {"x": np.arange(3.0)})
    assert result.status.tolist() == [2, 2, 2]
    assert "shape (2,); a batch of 3 runs" in result.errors[0].message


def test_a_batch_that_raises_is_halved_until_the_culprits_are_known():
    def f(x):
        if (x == 5).any() or (x == 11).any():
            raise ValueError("five or eleven")
        return x * 2

    result = together(f, {"x": np.arange(16)})
    assert np.flatnonzero(result.status == 2).tolist() == [5, 11]
    assert [e.message for e in result.errors] == ["five or eleven"] * 2
    assert result.columns[0][[4, 6]].tolist() == [8, 12]


def test_run_seeds_are_an_array():
    def f(x, run_seed):
        assert run_seed.dtype == np.int64
        return run_seed

    result = together(
        f, {"x": np.arange(4)}, streams=Streams(1, "f", (DIM,)), positions=(np.arange(4),)
    )
    assert len(set(result.columns[0].tolist())) == 4


def test_rng_is_refused():
    with pytest.raises(StageError, match="run_seed: an int64 array"):
        bind(stage(lambda x, rng: x, vectorized=True), {"x": "axis"})


def test_what_does_not_matter_is_the_default():
    values = {"x": np.array([1, INACTIVE], dtype=object)}
    assert together(lambda x=7: x, values).columns[0].tolist() == [1, 7]


def test_text_objects_and_ragged():
    result = together(lambda x: np.array([f"n{i}" for i in x]), {"x": np.arange(2)})
    assert result.columns[0].tolist() == ["n0", "n1"]
    result = together(
        lambda x: [[1.0] * i for i in x], {"x": np.array([2, 0, 1])}, outputs={"s": ragged("k")}
    )
    assert result.columns[0].lengths.tolist() == [2, 0, 1]


def checked(function, values, **options):
    trial = Trial()
    return together(function, values, trial=trial, **options), trial


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x - x.mean(), r"run x=0\.0 depends on the batch: -1\.0 in a batch of 3"),
        (lambda x: np.cumsum(x), r"run x=2\.0 depends on the batch: 3\.0 in"),
        (lambda x: np.random.default_rng(1).normal(size=len(x)), r"draw with tk\.draws"),
        (lambda x: {"a": x, "b": np.sort(x)[::-1].astype(int)}, r"'b' of the run x=0\.0"),
        (lambda x: np.array(["one", "many"])[[int(len(x) > 1)] * len(x)], "many in a batch"),
        (lambda x: np.linalg.inv(np.outer(x, x) + len(x) - 1) @ x, "alone"),
    ],
    ids=["mean", "cumsum", "shared generator", "sorted", "text", "raises alone"],
)
def test_a_batch_that_differs_from_its_runs_alone_is_an_error(function, words):
    with pytest.raises(StageError, match=words):
        checked(function, {"x": np.arange(3.0)})


def test_a_batch_is_checked_once_and_a_run_alone_says_nothing():
    sizes = []

    def f(x):
        sizes.append(len(x))
        return {"twice": 2 * x, "nan": x * np.nan, "text": np.array([f"n{i}" for i in x])}

    trial = Trial()
    together(f, {"x": np.arange(1.0)}, trial=trial)
    assert not trial.is_checked
    together(f, {"x": np.arange(9.0)}, trial=trial)
    together(f, {"x": np.arange(9.0)}, trial=trial)
    assert trial.is_checked
    assert sizes == [1, 9, 1, 1, 1, 9]


def test_rounding_in_another_order_is_no_difference():
    def f(x):
        return (x if len(x) > 1 else x * (1 + 1e-13)) + 0.0

    assert checked(f, {"x": np.arange(5.0)})[1].is_checked


def test_where_memory_does_not_suffice_the_batch_is_halved_and_that_is_remembered():
    sizes = []

    def f(x):
        sizes.append(len(x))
        if len(x) > 10:
            raise MemoryError
        return x

    trial = Trial(is_checked=True)
    assert together(f, {"x": np.arange(64.0)}, trial=trial).columns[0].tolist() == [*range(64)]
    assert trial.limit == 8
    assert together(f, {"x": np.arange(20.0)}, trial=trial).columns[0].tolist() == [*range(20)]
    assert sizes == [64, 32, 16, *[8] * 8, 8, 8, 4]


def test_a_batch_grows_while_a_run_takes_less_time():
    trial, sizes = Trial(), []
    for _ in range(6):
        n = trial.wanted
        sizes.append(n)
        trial.note(n, 0.01 + 1e-5 * max(n, 100))
    assert sizes == [1, 4, 16, 64, 256, 1024]
    for _ in range(4):
        trial.note(trial.wanted, 1e-5 * trial.wanted)
    assert trial.wanted == 4096


def test_one_slow_batch_does_not_end_growing():
    trial = Trial()
    trial.note(1, 1e-4)
    trial.note(4, 1.0)  # the machine was busy
    assert trial.wanted == 4
    for _ in range(5):
        trial.note(trial.wanted, 1e-4)
    assert trial.wanted == 4096


def test_growing_ends_where_larger_batches_are_slower():
    trial = Trial()
    trial.note(1, 1e-4)
    for n in (4, 4):
        trial.note(n, n * 1e-4)
    assert trial.wanted == 1


def test_a_batch_that_says_which_runs_failed_is_not_run_again():
    calls = []

    def halves(x):
        calls.append(len(x))
        errors = {at: ValueError(f"{x[at]} is odd") for at in np.flatnonzero(x % 2)}
        if errors:
            raise PartialFailureError(x / 2, errors)
        return x / 2

    result = together(halves, {"x": np.array([2, 3, 4, 5])})
    assert calls == [4]
    assert result.columns[0].tolist()[::2] == [1.0, 2.0]
    assert [error.message for error in result.errors] == ["3 is odd", "5 is odd"]
    assert [error.run for error in result.errors] == [1, 3]
    everything = together(halves, {"x": np.array([1, 3])})
    assert everything.columns is None
    assert len(everything.errors) == 2
