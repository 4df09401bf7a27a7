"""Nested sampling by dynesty: evidence and posterior."""

import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import RunsFailedError, SweepError
from toolkit.optimizers.generational import Floats
from toolkit.optimizers.samplers.drawing import effective_size
from toolkit.optimizers.samplers.inversion import Evaluate
from toolkit.optimizers.samplers.lockstep import LockstepPool

WALKS = ("auto", "uniform", "walk", "slice")
_NAMES = {"auto": "auto", "uniform": "unif", "walk": "rwalk", "slice": "rslice"}
_MOST_EMPTY = 20  # sets of live points without one that has a likelihood


@dataclass(frozen=True, kw_only=True, eq=False)
class NestedRun:
    """What nested sampling has found.

    Attributes
    ----------
    points
        In the unit cube, shape ``(n, n_dims)``, from the least likely to the most likely.
    log_likelihood, log_weight, log_volume
        Of the points: the weight is likelihood times the prior volume that the point stands for,
        divided by the evidence.
    log_evidence, log_evidence_error
        And its standard error.
    information
        Of the posterior over the prior, in nats.
    remaining
        By how much the logarithm of the evidence could grow still where the first pass was cut
        short by its budget, 0 where it was not.
    wanted
        Effective samples that were asked for.
    is_complete
        Whether it ended because it had what was asked for.
    """

    points: Floats
    log_likelihood: Floats
    log_weight: Floats
    log_volume: Floats
    log_evidence: float
    log_evidence_error: float
    information: float
    remaining: float
    wanted: int
    is_complete: bool

    @property
    def effective_samples(self) -> float:
        """How many draws of equal weight the posterior is worth."""
        return effective_size(self.log_weight)


def nested_method(
    n_dims: int,
    *,
    live_points: int,
    batch_size: int,
    is_dynamic: bool,
    effective_samples: int,
    evidence_tolerance: float,
    walk: str,
    budget: int | None,
    seed: int,
) -> Callable[[Evaluate], NestedRun]:
    """Return nested sampling over the unit cube, to be called with what evaluates points.

    Parameters
    ----------
    n_dims
        Of the cube.
    live_points
        Of the first pass, and of each that is added to it.
    batch_size
        Points that are proposed at once.
    is_dynamic
        Whether passes are added, where they tell most, until there are enough samples.
    effective_samples
        How many are enough.
    evidence_tolerance
        The first pass ends where what is left could raise the logarithm of the evidence by less.
    walk
        How points are proposed, one of ``WALKS``.
    budget
        Evaluations after which it ends, once the point under way is found.
    seed
        Of its draws.

    References
    ----------
    J. Skilling, Bayesian Analysis 1, 833 (2006). E. Higson and others, Statistics and Computing
    29, 891 (2019). J. S. Speagle, MNRAS 493, 3132 (2020).

    Raises
    ------
    SweepError
        If dynesty is not installed.
    """
    try:
        import dynesty
    except ModuleNotFoundError as error:
        raise SweepError(
            "nested_sampling needs the library dynesty, which is not installed. Install it with: "
            "pip install 'parallel-analysis-toolkit[nested]'"
        ) from error

    def run(evaluate: Evaluate) -> NestedRun:
        # It is said in the message, with what is missing.
        said = "The sampling was stopped short"
        warnings.filterwarnings("ignore", said, UserWarning, r"dynesty\.")
        given: dict[str, Any] = {
            "ndim": n_dims,
            "nlive": live_points,
            "sample": _NAMES[walk],
            # Ellipsoids a quarter larger than their points' own: bootstrapping them instead, what
            # dynesty does by itself, made them so large around thin shells that little was found.
            "bootstrap": 0,
            "enlarge": 1.25,
            "rstate": np.random.default_rng(seed),
            "pool": LockstepPool(_requiring_success(evaluate)),
            "queue_size": batch_size,
            "use_pool": {"prior_transform": False, "update_bound": False, "stop_function": False},
        }
        most = None if budget is None else max(budget - batch_size, 1)
        remaining: deque[float] = deque([np.inf], live_points + 1)
        if is_dynamic:
            sampler = dynesty.DynamicNestedSampler(_never, _as_it_is, **given)
            sampler.run_nested(
                dlogz_init=evidence_tolerance,
                n_effective=effective_samples,
                maxcall=most,
                save_bounds=False,
                print_func=_watch(remaining),
            )
        else:
            sampler = dynesty.NestedSampler(_never, _as_it_is, **given)
            sampler.run_nested(
                dlogz=evidence_tolerance,
                maxcall=most,
                save_bounds=False,
                print_func=_watch(remaining),
            )
        found = sampler.results
        left = remaining[0]  # before the last live points were added to it
        n_effective = effective_size(found.logwt)
        # The step that passes the tolerance is not shown any more.
        is_through = most is None or bool(left <= 1.2 * evidence_tolerance)
        is_enough = not is_dynamic or n_effective >= effective_samples
        return NestedRun(
            points=np.array(found.samples_u),
            log_likelihood=np.array(found.logl),
            log_weight=np.array(found.logwt) - found.logz[-1],
            log_volume=np.array(found.logvol),
            log_evidence=float(found.logz[-1]),
            log_evidence_error=float(found.logzerr[-1]),
            information=float(found.information[-1]),
            remaining=0.0 if is_through else float(left),
            wanted=effective_samples if is_dynamic else 0,
            is_complete=is_through and is_enough,
        )

    return run


def _watch(remaining: "deque[float]") -> Callable[..., None]:
    """Return what notes, step by step of the first pass, how much evidence may still come."""

    def note(step: Any, *_: Any, nbatch: int = 0, **__: Any) -> None:
        if nbatch == 0:
            remaining.append(float(step.delta_logz))

    return note


def _requiring_success(evaluate: Evaluate) -> Evaluate:
    n_seen, n_empty, has_any = 0, 0, False

    def evaluated(points: Floats) -> Floats:
        nonlocal n_seen, n_empty, has_any
        values = evaluate(points)
        n_seen += len(points)
        has_any = has_any or bool(np.isfinite(values).any())
        n_empty += not has_any
        if n_empty >= _MOST_EMPTY:
            raise RunsFailedError(
                f"None of the first {n_seen:,} points of the prior has a likelihood above zero, so "
                "the sampling was stopped. Is the prior where the data are, and the likelihood a "
                "logarithm?"
            )
        return values

    return evaluated


def _never(point: Floats) -> float:
    raise AssertionError(f"all points are evaluated by the pool, not {point}")


def _as_it_is(point: Floats) -> Floats:
    return point
