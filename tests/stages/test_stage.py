import functools
import pickle

import cloudpickle
import pytest

from toolkit.errors import StageError
from toolkit.resources import Resources
from toolkit.stages.stage import Stage, as_stage, stage


@stage
def bare(beta):
    """Say beta."""
    return beta


@stage(name="other", outputs={"peak": float}, resources=Resources(memory="1GB"), retry_on=OSError)
def told(beta):
    return beta


def test_a_stage_is_called_like_its_function():
    assert (bare(2), bare.__name__, bare.__doc__) == (2, "bare", "Say beta.")
    assert bare.__wrapped__(3) == 3
    assert (told.name, told.retry_on, told.fixed_resources) == (
        "other",
        ("OSError",),
        Resources(memory="1GB"),
    )
    assert repr(bare) == "<stage 'bare', bare()>"
    assert "outputs: peak" in repr(told)


def test_somebody_elses_function_becomes_a_stage_by_a_call():
    made = stage(functools.partial(max, 3), rename={"b": "beta"}, name="most")
    assert isinstance(made, Stage)
    assert made(7) == 7
    assert as_stage(made) is made
    assert as_stage(len).name == "len"
    assert as_stage(lambda x: x).name == "result"


def test_a_stage_travels():
    again = pickle.loads(cloudpickle.dumps(told))
    assert again(2) == 2
    assert again.declared == told.declared


async def late():
    return 1


def several():
    yield 1


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (late, {}, r"asynchronous.*asyncio\.run"),
        (several, {}, "generator.*list"),
        (3, {}, "holds a function"),
        (len, {"name": "a/b"}, "cannot be named"),
        (len, {"name": "axes"}, "cannot be named"),
        (len, {"max_attempts": 0}, "max_attempts=0"),
        (len, {"resources": "4GB"}, "Resources"),
        (len, {"missing": "maybe"}, "'block' or 'allow'"),
        (len, {"retry_on": [3]}, "retry_on"),
        (len, {"over": 3}, "over=3"),
        (len, {"vectorized": "jax"}, "True, False or 'torch'"),
        (bare, {}, "a stage already"),
    ],
)
def test_options_without_meaning_are_refused(function, options, words):
    with pytest.raises(StageError, match=words):
        stage(function, **options)
