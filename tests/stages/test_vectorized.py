import numpy as np
import pytest

from toolkit.errors import StageError
from toolkit.spaces.axis import INACTIVE, Column, Dim
from toolkit.spaces.seeds import Streams
from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.output import ragged
from toolkit.stages.stage import stage

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
