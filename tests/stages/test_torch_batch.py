import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import StageError
from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.seeds import Streams
from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.output import ragged
from toolkit.stages.stage import stage
from toolkit.stages.trial import Trial

torch = pytest.importorskip("torch")

N = 12
DIM = Dim(name="x", size=N, columns=(Column(name="x", labels=np.arange(N)),), kind="axis")


def together(function, values, trial=None, frozen=None, **options):
    made = stage(function, vectorized="torch", **options)
    n = len(next(iter(values.values())))
    call = bind(made, dict.fromkeys(values, "axis"), frozen=frozen or ()).call
    return run_batch(
        call.with_constants(frozen or {}),
        values,
        range(n),
        trial=trial or Trial(),
        streams=Streams(3, "f", (DIM,)),
        positions=(np.arange(n),),
    )


def column(result, number=0):
    assert not result.errors, result.errors[0].traceback
    return result.columns[number]


def test_a_function_of_one_run_is_called_once_for_all():
    calls = []

    def f(x, y):
        calls.append((x.shape, x.dtype, y.dtype))
        return {"v": torch.stack([x, y.double()]), "s": x * y}

    result = together(f, {"x": np.arange(4.0), "y": np.arange(4)}, Trial(is_checked=True))
    assert column(result).tolist() == [[i, i] for i in range(4)]
    assert column(result, 1).tolist() == [0, 1, 4, 9]
    assert calls == [((), torch.float64, torch.int64)]


def test_a_batch_is_held_against_the_function_without_vmap():
    def f(x):
        return x if torch._C._functorch.is_batchedtensor(x) else x + 1

    with pytest.raises(StageError, match=r"'f' of the run x=0\.0 depends on the batch: 0\.0"):
        together(f, {"x": np.arange(3.0)})


def test_training_a_network_for_each_run_equals_training_it_alone():
    inputs = torch.linspace(-1, 1, 16, dtype=torch.float64)[:, None]

    def fit(rate, run_seed):
        draws = tk.draws(run_seed)
        weights = {"a": draws.normal("a", (1, 8)), "b": draws.normal("b", (8, 1), sd=0.3)}

        def loss(weights):
            return ((torch.tanh(inputs @ weights["a"]) @ weights["b"] - inputs**2) ** 2).mean()

        for _ in range(20):
            slopes = torch.func.grad(loss)(weights)
            weights = {name: weights[name] - rate * slopes[name] for name in weights}
        return {"loss": loss(weights), "a": weights["a"]}

    result = together(fit, {"rate": np.linspace(0.01, 0.1, N)})
    assert len(set(column(result).tolist())) == N
    assert column(result, 1).shape == (N, 1, 8)


def test_plain_arguments_part_the_batch():
    seen = []

    def f(x, kind, width: int, n_steps=2):
        seen.append((kind, width, n_steps))
        for _ in range(n_steps):
            x = x + width
        return x if kind == "plus" else -x

    values = {
        "x": np.arange(6.0),
        "kind": np.array(["plus", "minus"] * 3),
        "width": np.array([1, 1, 1, 1, 5, 5]),
    }
    result = together(f, values, Trial(is_checked=True))
    assert column(result).tolist() == [2, -3, 4, -5, 14, -15]
    assert sorted(seen) == [(kind, width, 2) for kind in ("minus", "plus") for width in (1, 5)]


def test_results_without_a_tensor_argument_are_given_to_every_run():
    assert column(together(lambda n: n * 2, {"n": np.array([3, 3, 4])}, rename={})).tolist() == [
        6, 6, 8,
    ]  # fmt: skip


def test_numeric_frozen_arrays_are_tensors_made_once():
    seen, trial = [], Trial(is_checked=True)
    data = np.arange(5.0)
    data.setflags(write=False)

    def f(x, data):
        seen.append(data)
        return x * data

    for _ in range(2):
        result = together(f, {"x": np.arange(3.0)}, trial, {"data": data})
    assert column(result)[2].tolist() == [0, 2, 4, 6, 8]
    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x + torch.rand(()), r"tk\.draws\(run_seed\)"),
        (lambda x: x if x > 1 else -x, r"torch\.where"),
        (lambda x: float(x), r"n_steps: int"),
        (lambda x: [x], "returned list"),
    ],
    ids=["random", "if", "item", "list"],
)
def test_what_vmap_cannot_run_is_explained_and_not_halved(function, words):
    result = together(function, {"x": np.arange(8.0)})
    assert len(result.errors) == 8
    assert len({error.message for error in result.errors}) == 1
    assert __import__("re").search(words, result.errors[0].message)


def test_a_run_that_raises_is_found():
    def f(x):
        return torch.linalg.cholesky(torch.eye(2, dtype=torch.float64) * x)

    result = together(f, {"x": np.array([1.0, 4.0, -1.0, 9.0, 16.0])})
    assert [error.run for error in result.errors] == [2]
    assert result.columns[0][3].tolist() == [[3, 0], [0, 3]]


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory."), "OutOfMemoryError"])
def test_out_of_memory_halves_the_batch_and_that_is_remembered(error):
    error = error if isinstance(error, Exception) else torch.OutOfMemoryError("so much")
    sizes, trial = [], Trial(is_checked=True)

    def f(x):
        size = torch._C._functorch.get_unwrapped(x).numel()  # a fake limit: 12 runs at once
        sizes.append(size)
        if size > 3:
            raise error
        return x * 2

    assert column(together(f, {"x": np.arange(12.0)}, trial)).tolist() == [*range(0, 24, 2)]
    assert trial.limit == 3
    assert trial.wanted <= 3
    assert column(together(f, {"x": np.arange(5.0)}, trial)).tolist() == [*range(0, 10, 2)]
    assert sizes == [12, 6, 3, 3, 3, 3, 3, 2]


def test_one_run_too_large_for_memory_fails_alone():
    def f(x):
        raise torch.OutOfMemoryError("too large")

    assert len(together(f, {"x": np.arange(2.0)}).errors) == 2


def test_seeds_are_those_of_the_runs_alone():
    together_ = column(together(lambda x, run_seed: run_seed, {"x": np.arange(N)}))
    assert together_.dtype == np.int64
    alone = Streams(3, "f", (DIM,)).run_seeds((np.arange(N),))
    assert np.array_equal(together_, alone)


def test_the_device_may_be_named(monkeypatch):
    monkeypatch.setenv("TOOLKIT_DEVICE", "cpu")
    assert tk.device() == torch.device("cpu")
    monkeypatch.setenv("TOOLKIT_DEVICE", "abacus")
    with pytest.raises(StageError, match="TOOLKIT_DEVICE='abacus'"):
        tk.device()


def test_ragged_outputs_are_refused_by_shape():
    result = together(lambda x: x.expand(3), {"x": np.arange(2.0)}, outputs={"s": ragged("k")})
    assert result.columns[0].lengths.tolist() == [3, 3]
