"""``tk.nested_sampling``, ``tk.mcmc``, ``tk.abc_smc``: posteriors, each evaluation a run."""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from toolkit.errors import InterruptedSweepError
from toolkit.searching import carry_out
from toolkit.spaces.space import Space
from toolkit.stages.stage import Stage
from toolkit.sweep import Sweep

if TYPE_CHECKING:
    from toolkit.optimizers.samplers.inversion import Inversion
    from toolkit.optimizers.samplers.posteriors import ABCPosterior, ChainPosterior, NestedPosterior
    from toolkit.optimizers.search import Search
    from toolkit.optimizers.search_space import SearchSpace
    from toolkit.optimizers.search_values import Reading

_Result = TypeVar("_Result")
_NO_END = 2**62  # samplers know themselves when to end


def nested_sampling(
    log_likelihood: Callable[..., Any] | Stage,
    prior: Mapping[str, object],
    *,
    live_points: int = 500,
    dynamic: bool = True,
    effective_samples: int = 5000,
    evidence_tolerance: float = 0.01,
    walk: str = "auto",
    batch_size: int | None = None,
    value: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    frozen: Mapping[str, object] | None = None,
    store: str | Path | None = None,
    client: object = None,
    progress: bool = True,
) -> "NestedPosterior":
    """Return the evidence of a model, and draws from its posterior.

    Needs the library dynesty (extra ``nested``). Evaluations run as those of :func:`minimize` do:
    with a ``store`` each is a run of a sweep, and the same call goes on where it was interrupted,
    over the same points; a larger ``budget`` or more ``effective_samples`` go further. An
    evaluation that fails counts as impossible, and is listed.

    Parameters
    ----------
    log_likelihood
        A function of the parameters, or a stage made with ``tk.stage``, that returns the natural
        logarithm of the likelihood; ``-inf`` where it is zero. ``tk.stage(f, vectorized=True)``
        is called once for a batch, with arrays.
    prior
        By parameter ``(low, high)``, ``tk.log``, ``tk.normal``, ``tk.logit``, ``tk.integers``,
        ``tk.choice`` or a frozen distribution of scipy.stats; a scalar is a constant.
    live_points
        More give a surer evidence (its error is about ``sqrt(information / live_points)``) and
        find more of several modes.
    dynamic
        Whether to add passes until there are ``effective_samples``. Without, one pass is made.
    effective_samples
        Draws of equal weight that the posterior is to be worth.
    evidence_tolerance
        The first pass ends where what is left could raise the log-evidence by less.
    walk
        How points are found: ``"uniform"`` in ellipsoids around the live points, ``"walk"``,
        ``"slice"``; ``"auto"`` takes these for below 10, 20 and for more parameters.
    batch_size
        Points evaluated at once, and so the most workers that are busy; a tenth of the live points
        where nothing is said. It belongs to the method: another one gives other points.
    value
        Name of the output to take, where there are several.
    budget
        Evaluations after which it ends, once the point under way is found.
    seed
        The same seed gives the same points, on any number of workers.
    frozen, store, client
        As for :class:`toolkit.Sweep` and its ``run``.
    progress
        Show progress where evaluations are runs of a sweep.

    Returns
    -------
    NestedPosterior
        With ``log_evidence``, ``log_evidence_error``, ``samples`` and ``weighted_samples``.

    Raises
    ------
    ToolkitError
        If the description is wrong, or dynesty is not installed.
    RunsFailedError
        If the function fails wherever it is evaluated first, or no likelihood is above zero.

    Examples
    --------
    >>> import toolkit as tk
    >>> def log_likelihood(x):
    ...     return -0.5 * (x - 1) ** 2
    >>> found = tk.nested_sampling(
    ...     log_likelihood, {"x": (-5, 5)}, live_points=100, dynamic=False
    ... )
    >>> abs(found.log_evidence - -1.38) < 3 * found.log_evidence_error
    True
    """
    from toolkit.optimizers.samplers.describing import (
        LogLikelihoods,
        choice_of,
        count_of,
        number_of,
        prior_of,
    )
    from toolkit.optimizers.samplers.inversion import Inversion
    from toolkit.optimizers.samplers.nested import WALKS, nested_method
    from toolkit.optimizers.samplers.posteriors import nested_posterior

    space = prior_of(prior, "nested_sampling")
    n_dims = len(space.names)
    n_live = count_of("live_points", live_points, 2 * n_dims + 2)
    size = max(1, n_live // 10) if batch_size is None else count_of("batch_size", batch_size, 1)
    most = None if budget is None else count_of("budget", budget, 2 * n_live)
    seed = count_of("seed", seed, 0)
    method = nested_method(
        n_dims,
        live_points=n_live,
        batch_size=max(size, 2),
        is_dynamic=dynamic,
        effective_samples=count_of("effective_samples", effective_samples, 1),
        evidence_tolerance=number_of("evidence_tolerance", evidence_tolerance, 0),
        walk=choice_of("walk", walk, WALKS),
        budget=most,
        seed=seed,
    )
    inversion = Inversion(method, population=max(size, 2), expected=most or 30 * n_live)
    reading = LogLikelihoods(value, "nested_sampling")
    search, run = _sampled(
        inversion, space, log_likelihood, reading, frozen, store, client, seed, progress
    )
    return nested_posterior(search, run, seed=seed)


def mcmc(
    log_likelihood: Callable[..., Any] | Stage,
    prior: Mapping[str, object],
    *,
    walkers: int | None = None,
    steps: int = 5000,
    autocorrelation_times: float = 50,
    move: str = "stretch",
    start: Mapping[str, object] | None = None,
    value: str | None = None,
    seed: int = 0,
    frozen: Mapping[str, object] | None = None,
    store: str | Path | None = None,
    client: object = None,
    progress: bool = True,
) -> "ChainPosterior":
    """Return draws from a posterior by an ensemble of walkers.

    Needs the library emcee (extra ``mcmc``). It ends as soon as the chains are long enough to be
    trusted, and says so where they are not. Evaluations run, fail and are resumed as those of
    :func:`nested_sampling`; more ``steps`` on the same store go further.

    Parameters
    ----------
    log_likelihood, prior, value, frozen, store, client, progress
        As for :func:`nested_sampling`.
    walkers
        How many step together, an even number of at least twice the parameters. Half of them are
        evaluated at once: 32 or four for each parameter where nothing is said.
    steps
        Most steps of each.
    autocorrelation_times
        They end once they are as many times as long as the autocorrelation time of the slowest
        parameter, after ten that are left out, and agree (R-hat of at most 1.05).
    move
        ``"stretch"``, or ``"differential_evolution"``, which may go better where that is slow.
    start
        By parameter where walkers begin, close together; at the best of some points of the prior
        where nothing is said.
    seed
        The same seed gives the same chains, on any number of workers.

    Returns
    -------
    ChainPosterior
        With ``samples`` over ``chain`` and ``draw``, ``r_hat`` and ``autocorrelation_time``.

    Raises
    ------
    ToolkitError
        If the description is wrong, or emcee is not installed.
    RunsFailedError
        If the function fails wherever it is evaluated first, or walkers find no likelihood.
    """
    from toolkit.errors import SweepError
    from toolkit.optimizers.samplers.chains import MOVES, chain_method, default_walkers
    from toolkit.optimizers.samplers.describing import (
        LogLikelihoods,
        choice_of,
        count_of,
        number_of,
        prior_of,
    )
    from toolkit.optimizers.samplers.inversion import Inversion
    from toolkit.optimizers.samplers.posteriors import chain_posterior

    space = prior_of(prior, "mcmc")
    n_dims = len(space.names)
    size = default_walkers(n_dims) if walkers is None else count_of("walkers", walkers, 2 * n_dims)
    if size % 2 or size < 4:
        raise SweepError(f"walkers={size} must be an even number of at least 4: halves take turns.")
    if start is not None and not isinstance(start, Mapping):
        raise SweepError(f"start={start!r} must be a mapping of parameters to values.")
    n_steps = count_of("steps", steps, 10)
    times = number_of("autocorrelation_times", autocorrelation_times, 0)
    seed = count_of("seed", seed, 0)
    method = chain_method(
        n_dims,
        walkers=size,
        steps=n_steps,
        times=times,
        move=choice_of("move", move, MOVES),
        start=None if start is None else space.position(start),
        seed=seed,
    )
    inversion = Inversion(method, population=size // 2, expected=size * (n_steps + 4))
    reading = LogLikelihoods(value, "mcmc")
    search, run = _sampled(
        inversion, space, log_likelihood, reading, frozen, store, client, seed, progress
    )
    return chain_posterior(search, run, times=times)


def abc_smc(
    simulator: Callable[..., Any] | Stage,
    prior: Mapping[str, object],
    observed: Mapping[str, Any] | None = None,
    *,
    distance: Callable[[Mapping[str, Any], Mapping[str, Any]], float] | None = None,
    particles: int = 1000,
    quantile: float = 0.5,
    tolerance: float = 0.0,
    least_acceptance: float = 0.05,
    budget: int | None = None,
    seed: int = 0,
    frozen: Mapping[str, object] | None = None,
    store: str | Path | None = None,
    client: object = None,
    progress: bool = True,
) -> "ABCPosterior":
    """Return draws from the approximate posterior of a simulator that has no likelihood.

    Particles come closer to the data generation by generation: of those there are the nearest are
    kept, and new ones are drawn around them (Lenormand and others, 2013). Evaluations run, fail
    and are resumed as those of :func:`nested_sampling`; a larger ``budget``, or a smaller
    ``tolerance`` or ``least_acceptance``, go further on the same store.

    Parameters
    ----------
    simulator
        A function of the parameters, or a stage. It returns what can be compared with what was
        observed, by name; or the distance itself, where nothing is given as observed. For draws of
        its own it takes ``rng``, which differs from run to run.
    prior, frozen, store, client, progress
        As for :func:`nested_sampling`.
    observed
        By name of the output, a number or an array.
    distance
        Called with what was simulated and with what was observed, both by name, in this process.
        None: the root of the mean squared difference, each number divided by how much it varies
        over the prior.
    particles
        How many are kept in each generation.
    quantile
        Which share of all is kept: smaller ones come closer in fewer, larger generations.
    tolerance
        It ends once all particles are this near.
    least_acceptance
        It ends where fewer of the new particles are kept.
    budget
        Most simulations.
    seed
        The same seed gives the same particles, on any number of workers.

    Returns
    -------
    ABCPosterior
        With ``samples``, ``weighted_samples``, ``tolerance`` and ``generations``.

    Raises
    ------
    ToolkitError
        If the description is wrong, or simulated and observed data do not match.
    RunsFailedError
        If the simulator fails wherever it is run first.

    Examples
    --------
    >>> import toolkit as tk
    >>> def simulator(mean, rng):
    ...     return {"average": rng.normal(mean, 1, 20).mean()}
    >>> found = tk.abc_smc(
    ...     simulator, {"mean": (-5, 5)}, {"average": 1.0}, particles=200, progress=False
    ... )
    >>> 0.8 < float(found.samples["mean"].mean()) < 1.2
    True
    """
    from toolkit.errors import SweepError
    from toolkit.optimizers.samplers.abc_smc import abc_method
    from toolkit.optimizers.samplers.describing import count_of, number_of, prior_of
    from toolkit.optimizers.samplers.distances import Simulations
    from toolkit.optimizers.samplers.inversion import Inversion
    from toolkit.optimizers.samplers.posteriors import abc_posterior

    space = prior_of(prior, "abc_smc")
    if observed is not None and (not isinstance(observed, Mapping) or not observed):
        raise SweepError(f"observed={observed!r} must be a mapping of outputs to what was seen.")
    if distance is not None and (observed is None or not callable(distance)):
        raise SweepError("distance= must be a function of simulated and observed data: observed=.")
    n_kept = count_of("particles", particles, 2 * len(space.names) + 2)
    share = number_of("quantile", quantile, 0, 1)
    n_first = max(n_kept + 1, round(n_kept / share))
    most = None if budget is None else count_of("budget", budget, n_first)
    near = number_of("tolerance", tolerance, 0) if tolerance else 0.0
    seed = count_of("seed", seed, 0)
    simulations = Simulations(observed, distance)
    method = abc_method(
        len(space.names),
        simulations,
        particles=n_kept,
        quantile=share,
        tolerance=near,
        least_acceptance=number_of("least_acceptance", least_acceptance, 0, 1),
        budget=most,
        seed=seed,
    )
    inversion = Inversion(method, population=n_first - n_kept, expected=most or 20 * n_kept)
    search, run = _sampled(
        inversion, space, simulator, simulations.read, frozen, store, client, seed, progress
    )
    return abc_posterior(search, run, simulations, seed=seed)


def _sampled(
    inversion: "Inversion[_Result]",
    space: "SearchSpace",
    function: Callable[..., Any] | Stage,
    reading: "Reading",
    frozen: Mapping[str, object] | None,
    store: str | Path | None,
    client: object,
    seed: int,
    progress: bool,
) -> tuple["Search", _Result]:
    """Evaluate what a sampler asks for; return the search and what the sampler found."""
    from toolkit.optimizers.minimizing import only_stage
    from toolkit.optimizers.search import Search

    with closing(inversion):
        search = Search(space, [inversion], _NO_END)
        dims = (search.first(), *space.constants)
        sweep = Sweep(function, Space(dims=dims), frozen=frozen, store=store, seed=seed)
        only_stage(sweep._prepared)
        carry_out(search, sweep, reading, client, call="it", progress=progress)
        if inversion.result is None:
            raise InterruptedSweepError(f"Sampling was interrupted. {_how_to_resume(sweep)}")
        return search, inversion.result


def _how_to_resume(sweep: Sweep) -> str:
    if sweep.store is None:
        return "Give it a store= to be able to go on."
    return "Call it again with the same arguments to go on."
