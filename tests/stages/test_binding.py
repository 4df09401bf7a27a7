import functools
import math

import numpy as np
import pytest

from toolkit.errors import StageError
from toolkit.resources import Resources
from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.call import Argument
from toolkit.stages.stage import stage


class Model:
    def __init__(self, beta):
        self.beta = beta

    def step(self, gamma):
        return self.beta + gamma

    def __call__(self, gamma):
        return self.beta * gamma


def bound(function, *names, **options):
    kinds = {k: options.pop(k) for k in ("frozen", "outputs_of_others", "dims") if k in options}
    return bind(stage(function, **options), dict.fromkeys(names, "axis"), **kinds)


def run(function, values, **options):
    names = list(values)
    call = bound(function, *names, **options).call
    result = run_batch(call, values, range(len(values[names[0]])))
    assert not result.errors, result.errors[0].traceback
    return result.columns[0].tolist()


def keyword_only(a, *, b, c=10):
    return a + b + c


def positional_only(a, b=1, /, c=2):
    return a + b + c


def takes_the_rest(a, **others):
    return {"n": a + len(others), **{f"got_{k}": v for k, v in others.items()}}


@pytest.mark.parametrize(
    ("function", "values", "expected"),
    [
        (lambda a, b: a - b, {"b": [1, 2], "a": [10, 20]}, [9, 18]),
        (keyword_only, {"a": [1], "b": [2], "c": [3]}, [6]),
        (positional_only, {"a": [1], "b": [2], "c": [3]}, [6]),
        (functools.partial(keyword_only, 5), {"b": [2], "c": [3]}, [10]),
        (functools.partial(keyword_only, b=5), {"a": [2], "b": [3], "c": [0]}, [5]),
        (Model(2).step, {"gamma": [1, 2]}, [3, 4]),
        (Model(2), {"gamma": [1, 2]}, [2, 4]),
        (math.sqrt, {"x": [4.0]}, [2.0]),
    ],
)
def test_any_callable_gets_its_arguments_by_name(function, values, expected):
    assert run(function, values) == expected


def test_own_defaults_are_recorded_where_they_are_labels():
    def f(a, b=0.5, kernel="rbf", table=(1, 2), nothing=None):
        return a

    binding = bound(f, "a")
    assert binding.defaults == {"b": 0.5, "kernel": "rbf", "nothing": None}
    assert binding.call.parameters == ("a", "b", "kernel", "nothing")
    assert run(f, {"a": [1]}) == [1]


def test_a_default_after_one_that_is_not_passed_goes_by_keyword():
    def f(a, table=(1, 2), c=3):
        return a + c + len(table)

    assert run(f, {"a": [1], "c": [10]}) == [13]


def test_renamed_arguments_take_other_parameters():
    assert run(lambda x, y: x - y, {"beta": [3], "y": [1]}, rename={"x": "beta"}) == [2]
    assert run(np.sin, {"angle": [0.0]}, rename={"x": "angle"}) == [0.0]
    assert run(takes_the_rest, {"beta": [3], "y": [1]}, rename={"a": "beta"})[0] == 4


def test_kwargs_take_all_that_is_left_but_replicates():
    binding = bind(
        stage(lambda rng, **others: 1), {"a": "axis", "b": "constant", "trial": "replicates"}
    )
    assert binding.call.parameters == ("a", "b")
    assert binding.takes_rng


def test_a_callable_without_signature_names_the_remedy():
    with pytest.raises(StageError, match=r"Wrap it in a function.*rename="):
        stage(max)
    assert run(max, {"p": [1], "q": [2]}, rename={"a": "p", "b": "q"}) == [2]


@pytest.mark.parametrize(
    ("function", "names", "options", "words"),
    [
        (
            lambda beta, gama: 1,
            ("beta", "gamma"),
            {},
            "'gama'.*parameters beta, gamma.*mean 'gamma'",
        ),
        (lambda beta: 1, ("beta", "gamma"), {}, "Nothing uses 'gamma'.*takes beta"),
        (lambda beta: 1, ("beta",), {"frozen": ("beta",)}, "two sources.*parameter and frozen"),
        (lambda *args: 1, ("beta",), {}, "Nothing uses 'beta'"),
        (lambda beta: 1, ("beta",), {"rename": {"x": "beta"}}, "no such argument.*has: beta"),
        (lambda beta: 1, ("beta",), {"outputs": ["beta"]}, "a parameter and an output"),
        (lambda beta: 1, ("beta",), {"outputs": {"v": ("beta",)}}, "a parameter and an inner dim"),
        (lambda rng: 1, ("rng",), {}, "reserved"),
    ],
)
def test_a_wrong_description_lists_the_names(function, names, options, words):
    with pytest.raises(StageError, match=words):
        bound(function, *names, **options)


def test_replicates_need_randomness_or_their_name():
    kinds = {"a": "axis", "trial": "replicates"}
    with pytest.raises(StageError, match="Replicates 'trial' would repeat"):
        bind(stage(lambda a: 1), kinds)
    assert bind(stage(lambda a, rng: 1), kinds).takes_rng
    assert bind(stage(lambda a, run_seed: 1), kinds).takes_run_seed
    assert bind(stage(lambda a, trial: 1), kinds).uses == {"a", "trial"}


def test_labels_need_no_use_and_resources_count_as_one():
    assert bind(stage(lambda a: 1), {"a": "rows", "site": "label"}).uses == {"a"}
    sized = stage(lambda a: 1, resources=lambda n: Resources(memory=n))
    assert bind(sized, {"a": "axis", "n": "axis"}).uses == {"a", "n"}
    with pytest.raises(StageError, match=r"resources=.*'n'"):
        bind(sized, {"a": "axis"})


def test_frozen_inputs_are_the_same_for_every_run():
    binding = bound(lambda a, table: a + len(table), "a", frozen=("table",))
    call = binding.call.with_constants({"table": [1, 2]})
    assert run_batch(call, {"a": [1, 2]}, [0, 1]).columns[0].tolist() == [3, 4]
    assert call.arguments[1] == Argument(name="table", source="table", kind="constant")


def test_a_class_is_called_as_any_function():
    result = run_batch(bound(Model, "beta").call, {"beta": [1]}, [0])
    assert result.schema.variables[0].name == "Model"
