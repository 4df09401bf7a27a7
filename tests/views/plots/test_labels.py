import numpy as np
import pytest
import xarray as xr

from toolkit.views.plots.labels import is_geometric, label_of, spreads_by_magnitude


@pytest.mark.parametrize(
    "labels",
    [
        [1, 10, 100],
        [1, 2, 4],
        [1, 2, 5, 10, 20, 50],
        np.geomspace(1e-3, 0.5, 21),
        [100, 10, 1],
        [1, 3, 10, 30, 100],
    ],
)
def test_labels_that_grow_by_a_factor_are_geometric(labels) -> None:
    assert is_geometric(np.asarray(labels, float))


@pytest.mark.parametrize(
    "labels",
    [
        [1, 10],
        [1, 2, 3],
        [0, 1, 10, 100],
        [-1, -10, -100],
        [100, 101, 102],
        np.linspace(0.1, 0.6, 26),
        [1, np.nan, 100, 1000],
        [5, 5, 5],
        [10, 20, 40, 50],
    ],
)
def test_others_are_not(labels) -> None:
    assert not is_geometric(np.asarray(labels, float))


def test_a_sample_is_by_magnitude_where_it_was_drawn_so() -> None:
    even = (np.arange(100) + 0.5) / 100
    assert spreads_by_magnitude(10 ** (3 * even))
    assert not spreads_by_magnitude(1 + 99 * even)
    assert not spreads_by_magnitude(10 ** (0.5 * even))
    assert not spreads_by_magnitude(np.array([1.0, 10, 100, np.nan]))
    assert not spreads_by_magnitude(even - 0.5)


def test_a_label_is_the_long_name_with_the_unit() -> None:
    def label(**attrs: object) -> str:
        return label_of(xr.DataArray(1.0, name="v", attrs=attrs))

    assert label() == "v"
    assert label(units="mV") == "v (mV)"
    assert label(long_name="membrane potential", units="mV") == "membrane potential (mV)"
    assert label(long_name="ratio", units="1") == "ratio"
