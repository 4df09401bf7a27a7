"""``tk.scaling``: what an evaluation costs here and by workers, measured before a fit."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.spaces.space import Space
from toolkit.stages.stage import Stage, as_stages
from toolkit.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.optimizers.search import Search

_GENERATIONS = 6  # measured in each cell, the first of them not
_MOST_HERE = 200

Floats = npt.NDArray[np.float64]


def scaling(
    objective: Callable[..., Any] | Stage,
    axes: Mapping[str, object],
    *,
    workers: Iterable[int] | None = None,
    batch: Iterable[int] = (4, 16),
    cost: Iterable[float] = (),
    data_points: Iterable[int] | None = None,
    value: str | None = None,
    frozen: Mapping[str, object] | None = None,
    budget: int = 1000,
    seed: int = 0,
    seconds: float = 0.5,
) -> "xr.Dataset":
    """Measure how quickly an objective is evaluated in this process and by workers.

    Points are drawn evenly from the axes and evaluated as ``tk.minimize`` does it: a generation
    at a time, on clusters of this machine. Takes about ``seconds`` for each cell, and some seconds
    to start each cluster.

    Parameters
    ----------
    objective, axes, value, frozen
        As for :func:`toolkit.minimize`.
    workers
        Numbers of workers; one, and as many as this machine has cores.
    batch
        Sizes of a generation.
    cost
        Further costs of an evaluation in seconds, as if the objective took longer: the processor is
        kept busy for the rest of that time.
    data_points
        How many of the frozen inputs' rows to use, for all that are arrays of one length; None for
        all of them.
    budget
        Evaluations of the fit that is advised on.
    seed
        Of the points.
    seconds
        To spend on each cell, about.

    Returns
    -------
    xarray.Dataset
        Over ``workers``, ``cost`` (s), ``batch`` and, where it is given, ``data_points``: ``rate``
        (evaluations a second), ``seconds`` for each evaluation, ``efficiency`` (share of the
        workers' time that went into evaluations), and ``seconds_here`` for one evaluation in this
        process. ``attrs["advice"]`` says what to do; ``tk.minimize`` does the same by itself.

    Raises
    ------
    ToolkitError
        If the description is wrong, or the objective fails at all points.

    Examples
    --------
    >>> import toolkit as tk
    >>> def bowl(x, y):
    ...     return x**2 + y**2
    >>> study = tk.scaling(bowl, {"x": (-1, 1), "y": (-1, 1)})  # doctest: +SKIP
    >>> print(study.attrs["advice"])  # doctest: +SKIP
    >>> tk.plot.scaling(study.isel(cost=0), by="batch")  # doctest: +SKIP
    """
    import xarray as xr

    from toolkit.clusters.cluster import cluster
    from toolkit.optimizers.placing import cores

    numbers = _counts("workers", (1, cores()) if workers is None else workers)
    sizes = _counts("batch", batch)
    extra = _costs(cost)
    rows = None if data_points is None else _counts("data_points", data_points)
    (stage,) = as_stages(objective)
    inputs = [_cut(frozen or {}, n) for n in rows] if rows else [frozen or {}]
    here = np.full((1 + len(extra), len(inputs)), np.nan)
    for at, given in enumerate(inputs):
        here[0, at] = _measure_here(stage, axes, value, given, seed, seconds)
    here[1:] = np.maximum(np.array(extra).reshape(-1, 1), here[0])
    taken = np.full((len(numbers), 1 + len(extra), len(sizes), len(inputs)), np.nan)
    for w, number in enumerate(numbers):
        with cluster("local", workers=number) as started:
            for c, at_least in enumerate([0.0, *extra]):
                for b, size in enumerate(sizes):
                    for d, given in enumerate(inputs):
                        padded = stage if not at_least else _padded(stage, at_least)
                        taken[w, c, b, d] = _measure_there(
                            padded, axes, value, given, seed, size, started.client
                        )
    dims = ("workers", "cost", "batch", "data_points")
    efficiency = here[None, :, None, :] / taken / np.array(numbers).reshape(-1, 1, 1, 1)
    costs = [float(np.median(here[0])), *extra]
    told = {"units": "s", "long_name": "time for each evaluation"}
    data = xr.Dataset(
        {
            "rate": (dims, 1 / taken, {"units": "1/s", "long_name": "evaluations a second"}),
            "seconds": (dims, taken, told),
            "efficiency": (dims, efficiency, {"long_name": "share of time spent evaluating"}),
            "seconds_here": (("cost", "data_points"), here, {**told, "where": "this process"}),
        },
        coords={
            "workers": list(numbers),
            "cost": ("cost", costs, {"units": "s", "long_name": "cost of an evaluation"}),
            "batch": list(sizes),
            "data_points": list(rows) if rows else [0],
        },
    )
    if rows is None:
        data = data.isel(data_points=0, drop=True)
    data.attrs["advice"] = _advice(data, budget, takes_arrays=bool(stage.vectorized))
    return data


def _advice(data: "xr.Dataset", budget: int, *, takes_arrays: bool) -> str:
    """Say where a fit of so many evaluations is best made, for each cost."""
    from toolkit.optimizers.placing import cores, should_leave

    lines = []
    most, together = int(data.workers.max()), int(data.batch.max())
    for at in range(data.sizes["cost"]):
        one = data.isel(cost=at)
        here = float(one.seconds_here.max())
        quickest = one.rate.max("batch").sel(workers=most)
        gain = float(quickest.min()) * here
        if should_leave(here, budget, workers=cores(), together=together):
            where = "by workers: minimize() starts them, or takes those of client="
        else:
            where = "in this process: minimize() does so where no client is there"
        lines.append(
            f"An evaluation of {_duration(here)}: {budget:,} of them take "
            f"{_duration(budget * here)} here; {most} workers at {together} at once were "
            f"{gain:.2g} times as quick, once they were there. Evaluate {where}."
        )
    if not takes_arrays and float(data.seconds_here.isel(cost=0).max()) < 1e-3:
        lines.append(
            "An objective as cheap as this gains most where it takes arrays: "
            "tk.stage(f, vectorized=True)."
        )
    return "\n".join(lines)


def _measure_here(
    stage: Stage,
    axes: Mapping[str, object],
    value: str | None,
    frozen: Mapping[str, object],
    seed: int,
    seconds: float,
) -> float:
    """Return the seconds of one evaluation in this process, the median."""
    from toolkit.optimizers.evaluating import evaluate_here
    from toolkit.optimizers.minimizing import only_stage

    search = _search(axes, _MOST_HERE, 4, seed)
    sweep = _sweep(stage, search, frozen)
    prepared = only_stage(sweep._prepared)
    until = time.perf_counter() + seconds

    def is_late(_seconds: float, left: int) -> bool:
        return left <= _MOST_HERE - 8 and time.perf_counter() > until

    evaluate_here(search, prepared, prepared.space, value, should_leave=is_late)
    found = search.seconds().values
    return float(np.median(found[1:] if len(found) > 1 else found))


def _measure_there(
    stage: Stage,
    axes: Mapping[str, object],
    value: str | None,
    frozen: Mapping[str, object],
    seed: int,
    size: int,
    client: object,
) -> float:
    """Return the seconds for each evaluation by workers, from one generation to the next."""
    from toolkit.execution.session import run_here
    from toolkit.execution.work import Policy
    from toolkit.optimizers.search_source import SearchSource

    search = _search(axes, size * _GENERATIONS, size, seed)
    sweep = _sweep(stage, search, frozen)
    (prepared,) = sweep._prepared.stages
    ends: list[float] = []

    def note() -> None:
        if search.n_evaluated >= size * (len(ends) + 1):
            ends.append(time.perf_counter())

    source = SearchSource(search, prepared.space, value, after=note)
    job = sweep._job_of(sweep._start(client, (), Policy(order="given"), source=source))
    run_here(job, how_to_resume="Call scaling() again.")
    return float(np.median(np.diff(ends))) / size


def _search(axes: Mapping[str, object], budget: int, size: int, seed: int) -> "Search":
    from toolkit.optimizers.generational import Generational
    from toolkit.optimizers.random_search import RandomSearch
    from toolkit.optimizers.search import Search
    from toolkit.optimizers.search_space import SearchSpace

    space = SearchSpace.of(axes)
    rule = RandomSearch(len(space.axes), population=size, seed=seed)
    return Search(space, [Generational(rule)], budget)


def _sweep(stage: Stage, search: "Search", frozen: Mapping[str, object]) -> Sweep:
    space = Space(dims=(search.first(), *search.space.constants))
    return Sweep(stage, space, frozen=frozen)


def _padded(stage: Stage, seconds: float) -> Stage:
    """Return a stage whose runs keep the processor busy for so many seconds at least."""
    from dataclasses import replace

    function = stage.function
    if stage.vectorized:
        raise SweepError(
            "cost= pads single evaluations, and the objective takes whole batches. Leave cost= "
            "away, or give the objective of one point."
        )

    @wraps(function)
    def padded(*args: Any, **kwargs: Any) -> Any:
        until = time.perf_counter() + seconds
        found = function(*args, **kwargs)
        while time.perf_counter() < until:
            pass
        return found

    return replace(stage, function=padded)


def _cut(frozen: Mapping[str, object], rows: int) -> Mapping[str, object]:
    """Return the frozen inputs with so many rows of those that are arrays of one length."""
    lengths = {}
    for name, given in frozen.items():
        with contextlib.suppress(TypeError):
            if hasattr(given, "shape") and hasattr(given, "__getitem__"):
                lengths[name] = len(given)  # type: ignore[arg-type]
    if not lengths or len(set(lengths.values())) > 1 or rows > min(lengths.values()):
        raise SweepError(
            f"data_points={rows} takes the first rows of frozen inputs that are arrays of one "
            f"length, and there are {lengths or 'none'}. Give frozen={{'data': data}} with at "
            "least as many rows."
        )
    cut: dict[str, object] = dict(frozen)
    for name in lengths:
        array: Any = frozen[name]
        cut[name] = array[:rows]
    return cut


def _counts(name: str, given: Iterable[int]) -> Sequence[int]:
    counts = [given] if isinstance(given, int) else list(given)
    for each in counts:
        if isinstance(each, bool) or not isinstance(each, int | np.integer) or each < 1:
            raise SweepError(f"{name}={each!r} must be whole numbers of at least 1.")
    if not counts:
        raise SweepError(f"{name}= is empty. Give one number or several, such as {name}=(1, 2).")
    return sorted({int(each) for each in counts})


def _costs(given: Iterable[float]) -> list[float]:
    costs = [given] if isinstance(given, int | float) else list(given)
    for each in costs:
        if isinstance(each, bool) or not isinstance(each, int | float) or not 0 < each < 60:
            raise SweepError(
                f"cost={each!r} must be seconds above 0 and below 60, as cost=(0.001, 0.01)."
            )
    return sorted({float(each) for each in costs})


def _duration(seconds: float) -> str:
    """Return seconds in words.

    Examples
    --------
    >>> _duration(2e-5), _duration(0.012), _duration(90)
    ('20 us', '12 ms', '90 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.2g} us"
