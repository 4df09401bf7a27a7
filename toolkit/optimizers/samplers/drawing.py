"""Draws from a posterior: by weight, and as labelled datasets."""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from toolkit.optimizers.generational import Floats
from toolkit.optimizers.search_space import SearchSpace
from toolkit.spaces.distribution import Linear, Log, Logit

if TYPE_CHECKING:
    import xarray as xr

_DIMS = ("chain", "draw")


def effective_size(log_weights: Floats) -> float:
    """Return how many points of equal weight are worth as much: ``(Σw)² / Σw²`` (Kish, 1965)."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def equal_weight(log_weights: Floats, n: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return which points to take so that all weigh the same, shape ``(n,)``, in random order.

    Systematic resampling: a point is taken as often as its share says, or once more.
    """
    weights = np.exp(log_weights - log_weights.max())
    reached = np.cumsum(weights)
    places = (rng.random() + np.arange(n)) / n * reached[-1]
    taken = np.minimum(np.searchsorted(reached, places, side="right"), len(weights) - 1)
    return rng.permutation(taken)


def dataset_of(space: SearchSpace, points: Floats) -> "xr.Dataset":
    """Return points of the unit cube as parameters, each a variable over ``chain`` and ``draw``.

    Parameters
    ----------
    space
        Its axes are the parameters.
    points
        Shape ``(n_chains, n_draws, n_dims)``; or ``(n_draws, n_dims)``, which is one chain.
    """
    import xarray as xr

    if points.ndim == 2:
        points = points[None]
    shape = points.shape[:2]
    columns = space.columns(points.reshape(-1, points.shape[-1]))
    return xr.Dataset(
        {
            column.name: (_DIMS, column.labels.reshape(shape), dict(column.attrs))
            for column in columns
        },
        coords=dict(zip(_DIMS, map(np.arange, shape), strict=True)),
    )


def weighted_dataset(
    space: SearchSpace, points: Floats, *, log_weights: Floats, **more: Floats
) -> "xr.Dataset":
    """Return points as parameters along ``sample``, with ``weight``, which adds up to one.

    Parameters
    ----------
    space
        Its axes are the parameters.
    points
        Shape ``(n, n_dims)``.
    log_weights
        Logarithm of their weights, shape ``(n,)``, up to a constant.
    **more
        Further numbers of each point, shape ``(n,)``.
    """
    import xarray as xr

    weights = np.exp(log_weights - log_weights.max())
    columns = space.columns(points)
    return xr.Dataset(
        {name: ("sample", values) for name, values in more.items()},
        coords={
            **{each.name: ("sample", each.labels, dict(each.attrs)) for each in columns},
            "weight": ("sample", weights / weights.sum()),
        },
    )


def at_edges(space: SearchSpace, points: Floats) -> list[str]:
    """Return parameters of which a posterior piles up at a bound of its prior.

    That is where the outermost hundredth of the prior, on either side, holds more draws than any
    other hundredth, and more than a twentieth of them all. ``points`` has shape ``(n, n_dims)``.
    """
    found = []
    for number, (name, kind) in enumerate(space.axes.items()):
        if not isinstance(kind, Linear | Log | Logit):
            continue  # others have no bounds that were chosen, or few values
        counts = np.histogram(points[:, number], 100, (0.0, 1.0))[0]
        if max(counts[0], counts[-1]) > 0.05 * len(points) and counts.argmax() in (0, 99):
            found.append(name)
    return found
