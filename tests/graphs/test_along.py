"""Blocks and windows as arithmetic, against plain numpy."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import toolkit as tk
from toolkit.graphs.along import MOST_BLOCKS, Along, Window, block_lengths


@given(st.integers(1, 50), st.integers(1, 60), st.data())
def test_windows_show_what_indexing_shows(size, length, data):
    window = Window.whole(Along(name="x", size=size, length=min(length, size)))
    expected = np.arange(size)
    for _ in range(data.draw(st.integers(0, 4))):
        if data.draw(st.booleans()):
            start = data.draw(st.integers(0, window.size - 1))
            stop = data.draw(st.integers(start + 1, window.size))
            window, expected = window.between(start, stop), expected[start:stop]
        else:
            positions = st.lists(st.integers(0, window.size - 1), min_size=1, unique=True)
            chosen = np.array(data.draw(positions))
            fewer = window.among(chosen)
            if fewer is not None:
                window, expected = fewer, expected[chosen]
    shown = []
    for number in range(window.n_blocks):
        start, stop = window.trim(number)
        assert stop - start == window.chunks[number] > 0
        shown += window.along.indices(window.first_block + number)[start:stop].tolist()
    assert shown == expected.tolist()
    at = data.draw(st.integers(0, window.size - 1))
    one = window.at(at)
    start, stop = one.trim(0)
    assert one.along.indices(one.first_block)[start:stop].tolist() == [expected[at]]
    assert one.along.length == 1 or one.along.size == 1


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 10**7), min_size=1),
    st.none() | st.floats(1e-7, 100),
    st.data(),
)
def test_blocks_nest_and_are_neither_too_many_nor_too_few(sizes, seconds, data):
    some = data.draw(st.sets(st.sampled_from(sorted(sizes)), min_size=1))
    stages = [(list(sizes), seconds), (sorted(some), None)]
    lengths = block_lengths(sizes, stages)
    for dims, _ in stages:
        blocks = np.prod([-(-sizes[name] // lengths[name]) for name in dims], dtype=float)
        runs = np.prod([float(sizes[name]) for name in dims])
        assert blocks <= MOST_BLOCKS
        assert blocks >= min(runs, 1000) / 4 or seconds is not None
    assert all(1 <= lengths[name] <= sizes[name] for name in sizes)


def test_blocks_aim_at_half_a_second_where_the_seconds_of_a_run_are_known():
    assert block_lengths({"x": 1000}, [(["x"], 1.0)]) == {"x": 1}
    assert 250 <= block_lengths({"x": 100_000}, [(["x"], 0.001)])["x"] <= 500
    assert block_lengths({"x": 1000}, [(["x"], 1e-6)]) == {"x": 1000}
    assert block_lengths({"x": 9, "k": 8}, [(["x", "k"], 1.0)], together=["k"])["k"] == 8


def test_ten_million_runs_are_described_in_a_few_megabytes():
    @tk.stage(outputs={"f": float, "g": int})
    def f(x, y):
        raise AssertionError

    sweep = tk.Sweep(f, tk.grid(x=range(3163), y=range(3163)))
    sweep.lazy()  # what is imported now does not count
    tracemalloc.start()
    lazy = sweep.lazy()
    part = lazy.f.isel(x=7).mean("y")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert lazy.f.size > 10_000_000
    assert part.dims == ()
    assert peak < 5_000_000
