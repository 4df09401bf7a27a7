import re
import time
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from toolkit.spaces.grid import grid, replicates, zipped

SPACE = (
    grid(
        beta=xr.DataArray(np.linspace(0.1, 0.5, 41), dims="beta", attrs={"units": "1/day"}),
        model=["svm", "<b>"],
        gamma=0.5,
        trial=replicates(3),
    )
    * zipped("site", rate=[1, 2])
).where(lambda beta, gamma: beta < gamma)


def test_the_text_names_every_parameter_with_its_labels():
    lines = repr(SPACE).splitlines()
    assert lines[0] == "<Space: 480 runs (beta: 41, model: 2, trial: 3, site: 2)>"
    assert re.search(r"beta +41  0.1 0.11 .* … 0.5  \[1/day\]", lines[1])
    assert "where(beta, gamma)" in lines[-1]
    assert "40 of 41 points" in lines[-1]
    assert max(map(len, lines)) <= 100


def test_the_html_folds_is_escaped_and_has_no_script():
    html = SPACE._repr_html_()
    assert "<details" in html
    assert "script" not in html
    assert "&lt;b&gt;" in html
    assert "var(--jp-" in html
    assert len(html) < 5000


@pytest.mark.parametrize("size", [1, 9, 100_000])
def test_long_axes_and_long_texts_stay_short(size):
    space = grid(x=[f"{i}" + "long" * 50 for i in range(size)])
    assert max(map(len, repr(space).splitlines())) < 100
    assert len(grid(x=np.arange(size) + 0.5)._repr_html_()) < 5000


def test_ten_million_runs_describe_in_a_moment_and_in_little_memory():
    tracemalloc.start()
    begun = time.perf_counter()
    space = grid(a=np.linspace(0, 1, 1000), b=np.linspace(0, 2, 100), c=range(100))
    repr(space)
    space._repr_html_()
    assert len(space) == 10_000_000
    space.points().positions(np.array([9_999_999]))
    space.extend(a=[2.0]).sel(b=2)
    seconds = time.perf_counter() - begun
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 0.5  # measured 5 ms; the machine may be busy
    assert peak < 3e6
