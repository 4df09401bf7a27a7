"""What samplers have found: draws, evidence, and how far to trust them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.optimizers.samplers.abc_smc import ABCRun
from toolkit.optimizers.samplers.chains import ChainRun
from toolkit.optimizers.samplers.distances import Simulations
from toolkit.optimizers.samplers.drawing import (
    at_edges,
    dataset_of,
    effective_size,
    equal_weight,
    weighted_dataset,
)
from toolkit.optimizers.samplers.nested import NestedRun
from toolkit.optimizers.search import Search
from toolkit.run_status import Status

if TYPE_CHECKING:
    import xarray as xr

_FAR_APART = 1.3  # R-hat of walkers that more of the same steps will hardly bring together
_FEW = 400  # effective samples: widths are off by 3.5 %, tails by more


@dataclass(frozen=True, kw_only=True, eq=False)
class Posterior:
    """What every sampler returns.

    Attributes
    ----------
    samples
        Draws of equal weight: each parameter over ``chain`` and ``draw``, as ArviZ names them.
    effective_samples
        How many independent draws they are worth; of chains those of the worst parameter.
    converged
        Whether it ended because it had what was asked for.
    message
        Why it ended.
    warnings
        What may be wrong, in words.
    evaluations
        How many points were evaluated, failed ones included.
    history
        Every evaluation in the order of its number along ``evaluation``, with ``value`` (NaN
        where it failed), and as coordinates the parameters, ``generation`` and ``status``.
    """

    samples: "xr.Dataset" = field(repr=False)
    effective_samples: float
    converged: bool
    message: str
    warnings: tuple[str, ...]
    evaluations: int
    history: "xr.Dataset" = field(repr=False)

    def _summary(self) -> str:
        lines = []
        for name, draws in self.samples.items():
            if draws.dtype.kind in "iuf":
                lines.append(f" {name} = {float(draws.mean()):.5g} ± {float(draws.std()):.2g}")
        ended = "complete" if self.converged else "not complete"
        lines.append(
            f" {self.effective_samples:,.0f} effective samples of {self.evaluations:,} "
            f"evaluations, {ended}: {self.message}"
        )
        lines += [f" Note: {each}" for each in self.warnings]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class NestedPosterior(Posterior):
    """What ``tk.nested_sampling`` has found: a :class:`Posterior`, and the evidence.

    Attributes
    ----------
    log_evidence, log_evidence_error
        Natural logarithm of the probability of the data under the model, and its standard error.
    information
        Of the posterior over the prior, in nats.
    weighted_samples
        All points with their ``weight``, ``log_likelihood`` and ``log_volume`` along ``sample``.
    """

    log_evidence: float
    log_evidence_error: float
    information: float
    weighted_samples: "xr.Dataset"

    def __repr__(self) -> str:
        return (
            f"<NestedPosterior log_evidence = {self.log_evidence:.3f} ± "
            f"{self.log_evidence_error:.3f}\n{self._summary()}>"
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ChainPosterior(Posterior):
    """What ``tk.mcmc`` has found: a :class:`Posterior`, and how its walkers went.

    Attributes
    ----------
    chain
        All steps with those at the beginning, each parameter over ``chain`` and ``draw``.
    log_likelihood
        Of ``chain``, over the same dims.
    autocorrelation_time
        By parameter, after how many steps the draws of a walker count as new ones.
    r_hat
        By parameter, how much wider all walkers together are than each; 1 where they agree.
    acceptance
        Share of the proposals that were accepted.
    """

    chain: "xr.Dataset"
    log_likelihood: "xr.DataArray"
    autocorrelation_time: Mapping[str, float]
    r_hat: Mapping[str, float]
    acceptance: float

    def __repr__(self) -> str:
        return (
            f"<ChainPosterior of {self.samples.sizes['chain']} walkers, "
            f"{self.samples.sizes['draw']:,} steps each\n{self._summary()}>"
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ABCPosterior(Posterior):
    """What ``tk.abc_smc`` has found: a :class:`Posterior`, and how near to the data it is.

    Attributes
    ----------
    tolerance
        Greatest distance of the particles.
    weighted_samples
        The particles with their ``weight`` and ``distance`` along ``sample``.
    generations
        By generation: ``tolerance``, ``acceptance``, ``effective_samples``, ``simulations``.
    """

    tolerance: float
    weighted_samples: "xr.Dataset"
    generations: "xr.Dataset"

    def __repr__(self) -> str:
        return f"<ABCPosterior within {self.tolerance:.4g} of the data\n{self._summary()}>"


def nested_posterior(search: Search, run: NestedRun, *, seed: int) -> NestedPosterior:
    """Return what nested sampling has found."""
    size = run.effective_samples
    n_draws = max(1, round(size))
    rng = np.random.default_rng([seed, 5])
    drawn = run.points[equal_weight(run.log_weight, n_draws, rng)]
    common = _common(search, drawn, size)
    if run.is_complete:
        message = f"the evidence is known to {run.log_evidence_error:.2g}"
        if run.wanted:
            message += f", and there are {run.wanted:,} effective samples"
    elif run.remaining:
        message = (
            "the budget is spent, and the logarithm of the evidence may yet grow by "
            f"{run.remaining:.2g}: give a larger budget="
        )
    else:
        message = (
            f"the budget is spent at {size:,.0f} of {run.wanted:,} effective samples: give a "
            "larger budget=, or ask for less with effective_samples="
        )
    return NestedPosterior(
        **common,
        converged=run.is_complete,
        message=message,
        log_evidence=run.log_evidence,
        log_evidence_error=run.log_evidence_error,
        information=run.information,
        weighted_samples=weighted_dataset(
            search.space,
            run.points,
            log_weights=run.log_weight,
            log_likelihood=run.log_likelihood,
            log_volume=run.log_volume,
        ),
    )


def chain_posterior(search: Search, run: ChainRun, *, times: float) -> ChainPosterior:
    """Return what walkers have found."""
    kept = run.points[:, run.n_warm_up :]
    slowest = float(np.nanmax([1.0, *run.autocorrelation_times]))
    size = kept.shape[0] * kept.shape[1] / slowest
    names = search.space.names
    worst = names[int(np.nanargmax([0.0, *run.autocorrelation_times])) - 1]
    common = _common(search, kept, size)
    n = kept.shape[1]
    if run.is_complete:
        message = (
            f"the chains are {n / slowest:.0f} times as long as the autocorrelation time of "
            f"{slowest:.0f} steps"
        )
    elif n < times * slowest and (n < 100 or np.nanmax([0.0, *run.r_hats]) <= _FAR_APART):
        message = (
            f"the chains are {n / slowest:.0f} times as long as the autocorrelation time of "
            f"{slowest:.0f} steps in {worst!r}, and {times:g} times were asked for: go on with "
            f"about steps={2 * _hundreds(times * slowest):,}"
        )
    else:
        message = (
            f"walkers disagree, with an R-hat of {float(np.nanmax(run.r_hats)):.2f}: more steps, "
            "or a start= nearer to the posterior, as some may be stuck; there may be several "
            "modes, for which nested_sampling is better"
        )
    notes = common.pop("warnings")
    if run.acceptance < 0.1:
        notes += (
            f"only {run.acceptance:.0%} of the proposals were accepted: "
            "move='differential_evolution' may go better",
        )
    chain = dataset_of(search.space, run.points)
    return ChainPosterior(
        **common,
        warnings=notes,
        converged=run.is_complete,
        message=message,
        chain=chain,
        log_likelihood=_like(chain, run.log_likelihood),
        autocorrelation_time=_by_name(names, run.autocorrelation_times),
        r_hat=_by_name(names, run.r_hats),
        acceptance=run.acceptance,
    )


def abc_posterior(
    search: Search, run: ABCRun, simulations: Simulations, *, seed: int
) -> ABCPosterior:
    """Return what a population of particles has found."""
    import xarray as xr

    size = effective_size(run.log_weights)
    rng = np.random.default_rng([seed, 5])
    drawn = run.points[equal_weight(run.log_weights, max(1, round(size)), rng)]
    common = _common(search, drawn, size)
    history = common["history"]
    values = history["value"].values
    first = run.generations[0].tolerance
    last = run.generations[-1].tolerance
    if last > 0.5 * first:
        common["warnings"] += (
            f"the simulations came no nearer than {last:.3g}, from {first:.3g} over the prior: "
            "the posterior is little more than the prior",
        )
    fields = ("tolerance", "acceptance", "effective_samples", "simulations")
    common["history"] = history.assign(
        distance=("evaluation", simulations.distances(0, values), {"long_name": "distance"})
    )
    return ABCPosterior(
        **common,
        converged=run.is_complete,
        message=run.ended,
        tolerance=last,
        weighted_samples=weighted_dataset(
            search.space, run.points, log_weights=run.log_weights, distance=run.distances
        ),
        generations=xr.Dataset(
            {
                name: ("generation", [getattr(each, name) for each in run.generations])
                for name in fields
            },
            coords={"generation": np.arange(len(run.generations))},
        ),
    )


def _common(search: Search, drawn: Any, size: float) -> dict[str, Any]:
    history = search.history()
    status = history.status.values
    is_missing = np.isnan(history["value"].values)
    n_bad = int(((status == Status.FAILED) | is_missing).sum())
    notes = []
    if n_bad:
        note = f"{n_bad:,} of {len(status):,} evaluations failed and count as impossible"
        if search.failures:
            first = search.failures[0]
            note += f", the first with {first.exception}: {first.message}"
        notes.append(note)
    if size < _FEW:
        notes.append(f"{size:,.0f} effective samples are few: widths and tails are rough")
    notes += [
        f"the posterior of {name!r} piles up at a bound of its prior: is it wide enough?"
        for name in at_edges(search.space, drawn.reshape(-1, drawn.shape[-1]))
    ]
    return {
        "samples": dataset_of(search.space, drawn),
        "effective_samples": size,
        "warnings": tuple(notes),
        "evaluations": search.n_evaluated,
        "history": history,
    }


def _by_name(names: tuple[str, ...], values: Any) -> dict[str, float]:
    return dict(zip(names, np.asarray(values).tolist(), strict=True))


def _like(chain: "xr.Dataset", values: Any) -> "xr.DataArray":
    import xarray as xr

    return xr.DataArray(values, coords=chain.coords, dims=("chain", "draw"), name="log_likelihood")


def _hundreds(value: float) -> int:
    return int(np.ceil(value / 100)) * 100
