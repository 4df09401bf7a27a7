"""Pictures are drawn without a screen, and closed after each test."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    import matplotlib as mpl

    before = mpl.get_backend()
    mpl.use("agg")
    import matplotlib.pyplot as plt

    with mpl.rc_context():
        yield
    plt.close("all")
    mpl.use(before)
