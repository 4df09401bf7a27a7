"""A margin for coordinates that take a few values only, so that none of them dies out.

After R. Hamano, S. Saito, M. Nomura and S. Shirakawa, CMA-ES with Margin, GECCO 2022
(arXiv:2205.13482): the chance of leaving the value around the mean is kept above a floor on both
sides, by the mean and by a factor on the deviation of each coordinate.
"""

import numpy as np
import numpy.typing as npt

from toolkit.optimizers.generational import Floats


def with_margin(
    mean: Floats, deviation: Floats, counts: npt.NDArray[np.int64], margin: float
) -> tuple[Floats, Floats]:
    """Return where means lie and what deviations become with a margin.

    The unit interval of a coordinate has as many cells of one size as there are values, and is
    mirrored at its ends: the first and the last cell are so twice as wide, and each mean has an
    edge below and above.

    Parameters
    ----------
    mean
        Shape ``(n,)``, of coordinates that are not folded.
    deviation
        Standard deviations, shape ``(n,)``, above 0.
    counts
        How many values each coordinate takes, shape ``(n,)``, at least 2.
    margin
        The least chance to leave the cell of the mean, both sides together.

    Returns
    -------
    mean, deviation
        Unchanged where the chances are large enough on both sides and to stay.

    Examples
    --------
    >>> mean, deviation = with_margin(np.array([0.1]), np.array([1e-3]), np.array([4]), 0.05)
    >>> deviation.round(2).tolist()  # the cell reaches from -0.25 to 0.25
    [0.13]
    """
    from scipy.special import ndtr, ndtri

    low, high = _edges(mean, counts)
    below, above = ndtr((low - mean) / deviation), ndtr((mean - high) / deviation)
    least = margin / 2
    stay = 1 - below - above
    is_fine = (below >= least) & (above >= least) & (stay >= least)
    below, above, stay = (np.maximum(each, least) for each in (below, above, stay))
    # What was added is taken from each in proportion to what it has above the floor.
    excess = (1 - below - above - stay) / (below + above + stay - 3 * least)
    below, above = (each + excess * (each - least) for each in (below, above))
    z_low, z_high = (np.maximum(-ndtri(each), 0.0) for each in (below, above))
    total = np.maximum(z_low + z_high, 1e-12)
    moved = (low * z_high + high * z_low) / total
    return np.where(is_fine, mean, moved), np.where(is_fine, deviation, (high - low) / total)


def _edges(mean: Floats, counts: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return the next edges of cells below and above; there is none at the mirrors."""
    cell = np.floor(mean * counts)
    is_first = np.mod(cell, counts) == 0  # a mirror is its lower end
    is_last = np.mod(cell + 1, counts) == 0  # or its upper end
    return (cell - is_first) / counts, (cell + 1 + is_last) / counts
