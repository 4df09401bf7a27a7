"""Markov chains by emcee: walkers that step together."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import RunsFailedError, SweepError
from toolkit.optimizers.generational import Floats
from toolkit.optimizers.samplers.convergence import autocorrelation_time, r_hat
from toolkit.optimizers.samplers.inversion import Evaluate

MOVES = ("stretch", "differential_evolution")
_LOOK = 100  # steps between looks at the chains
_LEAST = -1e300  # stands for a likelihood of zero: differences of infinities are no numbers
_SETS = 4  # sets of walkers drawn from the prior: the best begin, and fewer get stuck far out
_TRIES = 20  # sets of walkers that are drawn until all have a likelihood
_MOST_R_HAT = 1.05
_WARM_UP = 10.0  # autocorrelation times that are left out at the beginning
_BALL = 0.1  # of a standard deviation of the prior, around a start


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainRun:
    """What walkers have gone.

    Attributes
    ----------
    points
        In the unit cube, shape ``(n_walkers, n_steps, n_dims)``.
    log_likelihood
        Of the points, shape ``(n_walkers, n_steps)``.
    n_warm_up
        Steps at the beginning that are left out.
    autocorrelation_times, r_hats
        By parameter, of the steps that are kept, shape ``(n_dims,)``.
    acceptance
        Share of the proposals that were accepted.
    is_complete
        Whether the chains are as long as was asked for.
    """

    points: Floats
    log_likelihood: Floats
    n_warm_up: int
    autocorrelation_times: Floats
    r_hats: Floats
    acceptance: float
    is_complete: bool


def default_walkers(n_dims: int) -> int:
    """Return how many walkers step where nothing is said."""
    return max(32, 4 * n_dims)


def chain_method(
    n_dims: int,
    *,
    walkers: int,
    steps: int,
    times: float,
    move: str,
    start: Floats | None,
    seed: int,
) -> Callable[[Evaluate], ChainRun]:
    """Return walkers over the unit cube, to be called with what evaluates points.

    They walk where the prior is a standard normal distribution in each dim, which has no bounds
    to run into, and start from the best of four times as many points of the prior.

    Parameters
    ----------
    n_dims
        Of the cube.
    walkers
        How many step together, half of them at once.
    steps
        Most of them.
    times
        Autocorrelation times that are enough, after those that are left out.
    move
        How walkers propose, one of ``MOVES``.
    start
        In the unit cube, shape ``(n_dims,)``: walkers start around it.
    seed
        Of its draws.

    References
    ----------
    J. Goodman and J. Weare, Comm. App. Math. Comp. Sci. 5, 65 (2010). D. Foreman-Mackey and others,
    PASP 125, 306 (2013). C. ter Braak, Statistics and Computing 16, 239 (2006).

    Raises
    ------
    SweepError
        If emcee is not installed.
    """
    try:
        import emcee
    except ModuleNotFoundError as error:
        raise SweepError(
            "mcmc needs the library emcee, which is not installed. Install it with: "
            "pip install 'parallel-analysis-toolkit[mcmc]'"
        ) from error

    def run(evaluate: Evaluate) -> ChainRun:
        from scipy.special import ndtr

        def log_posterior(places: Floats) -> Floats:
            values = evaluate(ndtr(places))
            values = np.where(np.isfinite(values), values, _LEAST)
            found: Floats = values - 0.5 * (places**2).sum(1)
            return found

        rng = np.random.default_rng([seed, 2])
        places, values = _begin(log_posterior, rng, start, walkers, n_dims)
        sampler = emcee.EnsembleSampler(
            walkers, n_dims, log_posterior, vectorize=True, moves=_moves(emcee, move)
        )
        sampler.random_state = np.random.RandomState(
            np.random.MT19937(np.random.SeedSequence([seed, 3]))
        ).get_state()
        state = emcee.State(places, log_prob=values, random_state=sampler.random_state)
        looked: _Look | None = None
        while sampler.iteration < steps:
            more = min(_LOOK, steps - sampler.iteration)
            state = sampler.run_mcmc(state, more, skip_initial_state_check=True)
            looked = _Look(sampler.get_chain().swapaxes(0, 1), times)
            if looked.is_complete:
                break
        assert looked is not None
        chain = sampler.get_chain().swapaxes(0, 1)
        log_prior = -0.5 * (chain**2).sum(-1)
        return ChainRun(
            points=ndtr(chain),
            log_likelihood=sampler.get_log_prob().T - log_prior,
            n_warm_up=looked.n_warm_up,
            autocorrelation_times=looked.times,
            r_hats=looked.r_hats,
            acceptance=float(np.mean(sampler.acceptance_fraction)),
            is_complete=looked.is_complete,
        )

    return run


class _Look:
    """What chains of shape ``(n_walkers, n_steps, n_dims)`` say about themselves."""

    def __init__(self, chain: Floats, times: float) -> None:
        n_steps, n_dims = chain.shape[1:]
        later = chain[:, n_steps // 2 :]
        slowest = np.nanmax([1.0, *(autocorrelation_time(later[..., d]) for d in range(n_dims))])
        self.n_warm_up = min(math.ceil(_WARM_UP * slowest), n_steps // 2)
        kept = chain[:, self.n_warm_up :]
        self.times = np.array([autocorrelation_time(kept[..., d]) for d in range(n_dims)])
        self.r_hats = np.array([r_hat(kept[..., d]) for d in range(n_dims)])
        self.is_complete = bool(
            np.all(kept.shape[1] >= times * self.times) and np.all(self.r_hats <= _MOST_R_HAT)
        )


def _begin(
    log_posterior: Callable[[Floats], Floats],
    rng: np.random.Generator,
    start: Floats | None,
    walkers: int,
    n_dims: int,
) -> tuple[Floats, Floats]:
    """Return places of walkers that all have a likelihood, and the log-posterior there."""
    from scipy.special import ndtri

    places, values = np.empty((0, n_dims)), np.empty(0)
    fewest = 1 if start is not None else _SETS
    for number in range(_TRIES):
        drawn = rng.standard_normal((walkers, n_dims))
        if start is not None:
            drawn = ndtri(np.clip(start, 1e-9, 1 - 1e-9)) + _BALL * drawn
        found = log_posterior(drawn)
        has_value = found > _LEAST / 2
        places = np.concatenate([places, drawn[has_value]])
        values = np.concatenate([values, found[has_value]])
        if len(values) >= walkers and number + 1 >= fewest:
            best = np.argsort(-values, kind="stable")[:walkers]
            return places[best], values[best]
    where = "of the prior" if start is None else "around start"
    raise RunsFailedError(
        f"Of {_TRIES * walkers:,} points {where} only {len(values)} have a likelihood above zero, "
        f"too few for {walkers} walkers. Begin where the likelihood is: start={{parameter: value}}."
    )


def _moves(emcee: Any, move: str) -> Any:
    if move == "stretch":
        return [(emcee.moves.StretchMove(), 1.0)]
    return [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
