import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import ndtri

import toolkit as tk
from toolkit.errors import StageError
from toolkit.stages.draws_by_counter import Draws, philox
from toolkit.stages.normal_quantile import normal_quantile

SEEDS = st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=6)
STREAMS = st.one_of(st.text(max_size=8), st.integers(0, 2**32 - 1))
KINDS = {
    "uniform": lambda d, *args, **more: d.uniform(*args, low=-1, high=3, **more),
    "normal": lambda d, *args, **more: d.normal(*args, mean=1, sd=2, **more),
    "integers": lambda d, stream, *args, **more: d.integers(stream, -3, 1000, *args, **more),
    "bernoulli": lambda d, stream, *args, **more: d.bernoulli(stream, 0.3, *args, **more),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def one(word):
    return np.array([word], dtype=np.int64)


# From the file kat_vectors of Random123: counter, key, output.
@pytest.mark.parametrize(
    ("counter", "key", "output"),
    [
        ("00000000 00000000 00000000 00000000", "00000000 00000000",
         "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
         "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
         "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)  # fmt: skip
def test_known_answers_of_philox(counter, key, output):
    words = philox(*([one(int(word, 16)) for word in text.split()] for text in (counter, key)))
    assert [f"{word[0]:08x}" for word in words] == output.split()


@kinds
@given(seeds=SEEDS, stream=STREAMS, n=st.integers(1, 40), step=st.integers(0, 2**32 - 1))
def test_neither_the_batch_nor_its_size_changes_a_value(kind, seeds, stream, n, step):
    draw = KINDS[kind]
    batch = draw(tk.draws(np.array(seeds)), stream, (n,), at=step)
    assert batch.shape == (len(seeds), n)
    for seed, row in zip(seeds, batch, strict=True):
        assert np.array_equal(draw(tk.draws(seed), stream, (n,), at=step), row)
        assert np.array_equal(draw(tk.draws(seed), stream, (n + 7,), at=step)[:n], row)
        assert draw(tk.draws(seed), stream, at=(step, n - 1)) == row[-1]


@kinds
@given(seeds=SEEDS, agents=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5))
def test_agents_and_runs_broadcast(kind, seeds, agents):
    both = KINDS[kind](tk.draws(np.array(seeds)), "infect", at=(3, np.array(agents)[:, None]))
    assert both.shape == (len(agents), len(seeds))
    expected = [
        [KINDS[kind](tk.draws(seed), "infect", at=(3, a)) for seed in seeds] for a in agents
    ]
    assert both.tolist() == expected


@kinds
def test_a_large_array_is_made_of_the_same_draws(kind):
    draw, many = KINDS[kind], 20_000  # more than one piece
    whole = draw(tk.draws(np.array([5, 6])), "s", (many,))
    some = np.array([0, 8191, 8192, 19_999])
    assert np.array_equal(whole[1, some], draw(tk.draws(6), "s", at=some))


@given(seed=st.integers(0, 2**63 - 1), stream=STREAMS)
def test_seed_stream_and_index_all_count(seed, stream):
    other = (seed + 2**40) % 2**63
    found = [
        tk.draws(seed).uniform(stream, at=(1, 2, 3)),
        tk.draws(seed).uniform(stream, at=(1, 2, 4)),
        tk.draws(seed).uniform(stream, at=(1, 3, 3)),
        tk.draws(seed).uniform(stream, at=(2, 2, 3)),
        tk.draws(other).uniform(stream, at=(1, 2, 3)),
        tk.draws(seed).uniform(f"{stream} too", at=(1, 2, 3)),
    ]
    assert len(set(found)) == len(found)


def test_draws_have_the_distributions_that_they_are_named_after():
    source = tk.draws(np.arange(200))
    assert stats.kstest(source.uniform("u", (500,)).ravel(), "uniform").pvalue > 0.01
    assert stats.kstest(source.normal("n", (500,)).ravel(), "norm").pvalue > 0.01
    counts = np.bincount(source.integers("i", 0, 7, (500,)).ravel())
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > 0.01
    assert source.bernoulli("b", 0.2, (500,)).mean() == pytest.approx(0.2, abs=0.005)


def test_p_may_differ_by_run():
    p = np.array([0.0, 1.0])
    assert tk.draws(np.arange(2)).bernoulli("b", p).tolist() == [False, True]
    assert tk.draws(np.arange(2)).bernoulli("b", p[:, None], (3,)).tolist() == [[0] * 3, [1] * 3]


@given(k=st.integers(0, 2**52 - 1))
def test_the_quantile_is_that_of_the_normal_distribution(k):
    centered = np.float64((k + 0.5) * 2.0**-52 - 0.5)
    expected = ndtri(0.5 + centered) if centered < 0 else -ndtri(0.5 - centered)
    assert normal_quantile(centered) == pytest.approx(expected, rel=3e-15, abs=1e-300)
    assert normal_quantile(np.array([centered]))[0] == normal_quantile(centered)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tk.draws(0.5), "whole numbers; found float"),
        (lambda: tk.draws(np.array([1.0])), "found ndarray float64"),
        (lambda: tk.draws(1).uniform("s", at=0.5), "takes at of whole numbers"),
        (lambda: tk.draws(1).uniform(-1), "a whole number below"),
        (lambda: tk.draws(1).uniform("s", at=(1, 2, 3, 4)), "at most 3"),
        (lambda: tk.draws(1).uniform("s", 5, at=(1, 2, 3)), "at most 2"),
        (lambda: tk.draws(1).integers("s", 5, 5), "must be above low"),
    ],
)
def test_what_has_no_meaning_is_an_error(call, words):
    with pytest.raises(StageError, match=words):
        call()


@kinds
@given(seeds=SEEDS, stream=STREAMS, n=st.integers(1, 40), step=st.integers(0, 2**32 - 1))
def test_torch_draws_the_same_bits(kind, seeds, stream, n, step):
    torch = pytest.importorskip("torch")
    draw = KINDS[kind]
    expected = draw(Draws(np.array(seeds)), stream, (n, 2), at=step)
    tensor = draw(Draws(torch.tensor(seeds)), stream, (n, 2), at=step)
    assert np.array_equal(tensor.numpy(), expected)
    each = torch.func.vmap(lambda seed: draw(Draws(seed), stream, (n, 2), at=step))
    assert np.array_equal(each(torch.tensor(seeds)).numpy(), expected)
