"""Whether chains are long enough: autocorrelation times and R-hat."""

import numpy as np

from toolkit.optimizers.generational import Floats

_WINDOW = 5.0  # autocorrelation times that are summed over


def autocorrelation_time(chains: Floats) -> float:
    """Return after how many steps the draws of some chains count as new ones.

    The integrated autocorrelation time, of the autocorrelation averaged over chains, summed over
    the first window that is five times as long as what it gives (A. Sokal, Monte Carlo Methods in
    Statistical Mechanics, 1996). NaN where nothing varies.

    Parameters
    ----------
    chains
        One parameter, shape ``(n_chains, n_draws)``.
    """
    n = chains.shape[1]
    centered = chains - chains.mean(1, keepdims=True)
    padded = 2 ** int(np.ceil(np.log2(2 * n)))
    spectrum = np.abs(np.fft.rfft(centered, padded)) ** 2
    correlation = np.fft.irfft(spectrum, padded)[:, :n]
    moving = correlation[:, 0] > 0
    if not moving.any():
        return float("nan")
    mean = (correlation[moving] / correlation[moving, :1]).mean(0)
    times = 2 * np.cumsum(mean) - 1
    long_enough = np.arange(n) >= _WINDOW * times
    return float(times[int(np.argmax(long_enough)) if long_enough.any() else n - 1])


def r_hat(chains: Floats) -> float:
    """Return how much wider all chains together are than each, 1 where they agree.

    The rank-normalized split R-hat of A. Vehtari and others, Bayesian Analysis 16, 667 (2021), the
    larger of that of the values and that of their distance from the median. NaN where nothing
    varies.

    Parameters
    ----------
    chains
        One parameter, shape ``(n_chains, n_draws)``.
    """
    half = chains.shape[1] // 2
    split = np.concatenate([chains[:, :half], chains[:, -half:]])
    folded = np.abs(split - np.median(split))
    return max(_r_hat_of_ranks(split), _r_hat_of_ranks(folded))


def _r_hat_of_ranks(chains: Floats) -> float:
    from scipy.special import ndtri
    from scipy.stats import rankdata

    ranks = rankdata(chains, "average").reshape(chains.shape)
    scores = ndtri((ranks - 0.375) / (chains.size + 0.25))
    n = chains.shape[1]
    within = float(scores.var(1, ddof=1).mean())
    between = n * float(scores.mean(1).var(ddof=1))
    if not within > 0:
        return float("nan")
    return float(np.sqrt(((n - 1) / n * within + between / n) / within))
