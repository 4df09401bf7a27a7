"""Laws of sweeps of several stages, however their store came to hold what it holds."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import toolkit as tk

XS, YS, KS = [0.5, 1.0, 2.0, 3.0], ["low", "mid", "high"], [1, 2, 3]


@tk.stage(version="1")
def fit(x, y):
    return x * 100 + len(y)


@tk.stage(version="1", keep=False)
def twice(fit):
    return 2 * fit


@tk.stage(version="1")
def score(fit, twice, k):
    return fit * 10_000 + twice + k


@tk.stage(version="1", over="x")
def total(score, x):
    return float((score * x).sum())


@tk.stage(version="1")
def share(score, total):
    return score / total


STAGES = [share, total, twice, score, fit]


@st.composite
def spaces(draw):
    def some(labels):
        return draw(st.lists(st.sampled_from(labels), min_size=1, unique=True))

    space = tk.grid({name: some(labels) for name, labels in draw_order(draw)})
    if draw(st.booleans()):
        limit = draw(st.sampled_from(XS))
        keep = draw(st.sampled_from(KS))
        x, k = space.dim("x").labels, space.dim("k").labels
        if ((x[:, None] <= limit) | (k[None] >= keep)).any():
            space = space.where(lambda x, k: (x <= limit) | (k >= keep))
    return space


def draw_order(draw):
    return draw(st.permutations([("x", XS), ("y", YS), ("k", KS)]))


def check(data, space) -> None:
    """Compare every value with what plain Python makes of its labels."""
    points = space.to_dataframe()
    scores = {}
    for x, y, k in zip(points.x, points.y, points.k, strict=True):
        one = fit.function(x, y)
        assert float(data.fit.sel(x=x, y=y)) == one
        scores[x, y, k] = score.function(one, 2 * one, k)
        assert float(data.score.sel(x=x, y=y, k=k)) == scores[x, y, k]
    for x, y, k in scores:
        parts = [(a, value) for (a, b, c), value in scores.items() if (b, c) == (y, k)]
        expected = sum(a * value for a, value in parts)
        np.testing.assert_allclose(data.total.sel(y=y, k=k), expected)
        np.testing.assert_allclose(data.share.sel(x=x, y=y, k=k), scores[x, y, k] / expected)


@settings(max_examples=5)
@given(asked=st.lists(spaces(), min_size=1, max_size=3))
def test_values_belong_to_their_labels_in_whatever_order_a_store_grew(asked) -> None:
    sweep = tk.Sweep(STAGES, asked[0])
    for space in [*asked, *asked[:1]]:
        each = sweep._with(space=space)
        plan = each.explain().stages
        job = each.start()
        check(job.result(120), space)
        progress = job.progress
        assert (progress.failed, progress.blocked, progress.pending) == (0, 0, 0)
        again = each.explain().stages.drop("twice")
        assert (again.stored == again.runs).all()
        assert (again.runs == plan.runs.drop("twice")).all()
