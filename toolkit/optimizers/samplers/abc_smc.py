"""Approximate Bayesian computation by populations that come closer and closer to the data."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from toolkit.errors import RunsFailedError
from toolkit.optimizers.generational import Floats
from toolkit.optimizers.samplers.distances import Simulations
from toolkit.optimizers.samplers.drawing import effective_size
from toolkit.optimizers.samplers.inversion import Evaluate

_BLOCK = 2**22  # elements of the matrix of kernels that are held at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Generation:
    """How one generation of simulations came closer.

    Attributes
    ----------
    tolerance
        Greatest distance of the particles that were kept.
    acceptance
        Share of its simulations that were kept.
    effective_samples
        How many draws of equal weight the particles are worth.
    simulations
        How many there were so far.
    """

    tolerance: float
    acceptance: float
    effective_samples: float
    simulations: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ABCRun:
    """What a population of particles has come to.

    Attributes
    ----------
    points
        In the unit cube, shape ``(n, n_dims)``, the nearest to the data first.
    distances, log_weights
        Of the points, shape ``(n,)``.
    generations
        How it came there.
    ended
        Why it ended there.
    is_complete
        Whether it ended because it was near enough, or could come no nearer.
    """

    points: Floats
    distances: Floats
    log_weights: Floats
    generations: tuple[Generation, ...]
    ended: str
    is_complete: bool


def abc_method(
    n_dims: int,
    simulations: Simulations,
    *,
    particles: int,
    quantile: float,
    tolerance: float,
    least_acceptance: float,
    budget: int | None,
    seed: int,
) -> Callable[[Evaluate], ABCRun]:
    """Return a population over the unit cube, to be called with what simulates at points.

    Of all particles, those of earlier generations included, a share is kept in each generation:
    the nearest. New ones are drawn from a kernel around those that were kept, twice as wide as
    they are, where the prior is a standard normal distribution in each dim.

    Parameters
    ----------
    n_dims
        Of the cube.
    simulations
        Compares them with what was observed.
    particles
        How many are kept.
    quantile
        Which share of all is kept.
    tolerance
        Distance that is near enough.
    least_acceptance
        It ends where fewer of the new particles are kept.
    budget
        Most simulations.
    seed
        Of its draws.

    References
    ----------
    M. Lenormand, F. Jabot, G. Deffuant, Adaptive approximate Bayesian computation for complex
    models, Computational Statistics 28, 2777 (2013), algorithm APMC. The width of the kernel is
    that of M. Beaumont and others, Biometrika 96, 983 (2009), for all dims together. A weight is
    the prior over the mixture of all that particles were drawn from so far (A. Owen and Y. Zhou,
    JASA 95, 135, 2000), not over the one distribution that its particle is from: early particles
    would outweigh all others.
    """
    n_first = max(particles + 1, round(particles / quantile))
    n_new = n_first - particles

    def run(evaluate: Evaluate) -> ABCRun:
        rng = np.random.default_rng([seed, 4])
        places = rng.standard_normal((n_first, n_dims))
        distances = _simulated(evaluate, simulations, 0, places)
        if np.isfinite(distances).sum() < max(n_dims + 1, particles // 10):
            raise RunsFailedError(
                f"Only {int(np.isfinite(distances).sum()):,} of the first {n_first:,} simulations "
                "gave a distance. Is the prior where the simulator works?"
            )
        kernels: list[_Kernel] = []
        # Of each particle: log of the sum over distributions, times how many were drawn from each.
        log_drawn = np.log(n_first) + _log_prior(places)
        is_new = np.ones(n_first, np.bool_)
        n_done, passed = n_first, []
        while True:
            kept = np.argsort(distances, kind="stable")[:particles]
            kept = kept[np.isfinite(distances[kept])]
            acceptance = float(is_new[kept].sum() / is_new.sum())
            places, distances, log_drawn = places[kept], distances[kept], log_drawn[kept]
            log_weights = _log_prior(places) - log_drawn
            now = Generation(
                tolerance=float(distances[-1]),
                acceptance=acceptance,
                effective_samples=effective_size(log_weights),
                simulations=n_done,
            )
            passed.append(now)
            ended = ""
            if now.tolerance <= tolerance:
                ended, is_complete = f"all particles are within {tolerance:g} of the data", True
            elif acceptance < least_acceptance:
                ended, is_complete = (
                    f"only {acceptance:.1%} of the last simulations were kept",
                    True,
                )
            elif budget is not None and n_done + n_new > budget:
                ended, is_complete = f"the budget of {budget:,} simulations is spent", False
            if ended:
                return ABCRun(
                    points=_cube(places),
                    distances=distances,
                    log_weights=log_weights,
                    generations=tuple(passed),
                    ended=ended,
                    is_complete=is_complete,
                )
            kernel = _Kernel(places, log_weights)
            new = kernel.draw(rng, n_new)
            kernels.append(kernel)
            found = _simulated(evaluate, simulations, n_done, new)
            by_kernel = [np.log(n_new) + each.log_density(new) for each in kernels]
            new_drawn = np.logaddexp.reduce([np.log(n_first) + _log_prior(new), *by_kernel])
            log_drawn = np.logaddexp(log_drawn, np.log(n_new) + kernel.log_density(places))
            n_done += n_new
            is_new = np.concatenate([np.zeros(len(places), np.bool_), np.ones(n_new, np.bool_)])
            places = np.concatenate([places, new])
            distances = np.concatenate([distances, found])
            log_drawn = np.concatenate([log_drawn, new_drawn])

    return run


def _simulated(evaluate: Evaluate, simulations: Simulations, first: int, places: Floats) -> Floats:
    return simulations.distances(first, evaluate(_cube(places)))


class _Kernel:
    """Normal distributions around weighted particles, twice as wide as the particles are."""

    def __init__(self, places: Floats, log_weights: Floats) -> None:
        shares = np.exp(log_weights - log_weights.max())
        self._shares = shares / shares.sum()
        self._places = places
        centered = places - self._shares @ places
        # Particles that lie on one point move a little all the same.
        floor = 1e-12 * np.eye(places.shape[1])
        self._root = np.linalg.cholesky(2 * (centered.T * self._shares) @ centered + floor)
        self._whiten = np.linalg.inv(self._root).T
        self._white = places @ self._whiten

    def draw(self, rng: np.random.Generator, n: int) -> Floats:
        """Return particles, shape ``(n, n_dims)``."""
        around = rng.choice(len(self._places), n, p=self._shares)
        noise = rng.standard_normal((n, self._places.shape[1]))
        moved: Floats = self._places[around] + noise @ self._root.T
        return moved

    def log_density(self, places: Floats) -> Floats:
        """Return the log-density at places, up to that of a standard normal at its middle."""
        white, found = places @ self._whiten, np.empty(len(places))
        step = max(1, _BLOCK // len(self._places))
        for begin in range(0, len(places), step):
            part = slice(begin, begin + step)
            squared = (
                (white[part] ** 2).sum(1)[:, None]
                + (self._white**2).sum(1)[None]
                - 2 * white[part] @ self._white.T
            )
            found[part] = np.exp(-0.5 * np.maximum(squared, 0)) @ self._shares
        with np.errstate(divide="ignore"):  # far from all particles: another is nearer
            return np.asarray(np.log(found) - np.log(np.diag(self._root)).sum())


def _log_prior(places: Floats) -> Floats:
    found: Floats = -0.5 * (places**2).sum(1)
    return found


def _cube(places: Floats) -> npt.NDArray[np.float64]:
    from scipy.special import ndtr

    return np.asarray(ndtr(places))
