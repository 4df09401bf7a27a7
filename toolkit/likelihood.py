"""``tk.likelihood_profile``: how well data tell each parameter of a fit."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.fitting import minimize
from toolkit.spaces.space import Space
from toolkit.stages.stage import Stage
from toolkit.sweep import Sweep

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.optimizers.minimum import Minimum
    from toolkit.optimizers.profiling import Deviance, Profile
    from toolkit.optimizers.search_space import SearchSpace


def likelihood_profile(
    objective: Callable[..., Any] | Stage,
    axes: Mapping[str, object],
    *,
    cost: str = "nll",
    n_data: int | None = None,
    best: "Minimum | Mapping[str, object] | None" = None,
    parameters: Sequence[str] | None = None,
    level: float = 0.95,
    points: int = 6,
    method: str = "nelder_mead",
    value: str | None = None,
    budget: int | None = None,
    seed: int = 0,
    frozen: Mapping[str, object] | None = None,
    store: str | Path | None = None,
    client: object = None,
) -> "xr.Dataset":
    """Return likelihood profiles, confidence intervals and what they say, by parameter.

    A parameter is moved away from the best fit, step by step, and all others are fitted anew at
    each step, beginning at those of the step before. Its interval ends where twice the fall of the
    log-likelihood passes the quantile of chi squared with one degree of freedom, 3.84 for 95 %.
    Beside it stands the interval by the curvature at the best point, which is as wide on both
    sides.

    Parameters
    ----------
    objective, axes, value, frozen, client
        As for :func:`toolkit.minimize`; axes are of real numbers.
    cost
        What the objective returns: ``"nll"``, the negative log-likelihood; ``"chi2"``, a sum of
        squares each divided by its variance; ``"sse"``, a sum of squares with one unknown
        variance, which needs ``n_data``.
    n_data
        How many data points were fitted, for ``"sse"``.
    best
        The best fit: what ``tk.minimize`` has returned, or its ``x``. None: it is searched first.
    parameters
        Those to profile; all of them.
    level
        Of the intervals.
    points
        About how many points a profile has on each side.
    method
        By which the others are fitted.
    budget
        Most evaluations of one such fit, and of the first one; None for 1,000 for each axis.
    seed
        The same seed gives the same profiles.
    store
        A folder: each fit has a store in it, and the same call goes on where it was interrupted.

    Returns
    -------
    xarray.Dataset
        Along ``parameter``: ``estimate``, ``low`` and ``high`` (NaN where the interval is open),
        ``hessian_low`` and ``hessian_high``, ``verdict`` in words. Along ``parameter`` and
        ``point``: ``profile`` (its values), ``deviance``, and along ``other`` in addition ``fit``
        (the other parameters there). ``correlation`` along ``parameter`` and ``other``. Draw it
        with ``tk.plot.profile``.

    Raises
    ------
    ToolkitError
        If the description is wrong, or the best point cannot be evaluated.

    Examples
    --------
    >>> import toolkit as tk
    >>> def nll(mean, sd):
    ...     return 50 * math.log(sd) + 25 * (1.0 + (mean - 2) ** 2) / sd**2
    >>> best = {"mean": 2.0, "sd": 1.0}
    >>> axes = {"mean": (0, 5), "sd": tk.log(0.1, 10)}
    >>> found = tk.likelihood_profile(nll, axes, best=best, parameters=["mean"], points=3)
    >>> found.low.round(2).values
    array([1.72])
    """
    from scipy.stats import chi2

    from toolkit.optimizers import profiling
    from toolkit.optimizers.search_space import SearchSpace

    space = SearchSpace.of(axes)
    deviance = _deviance(cost, n_data)
    _check(space, parameters, level, points)
    given: dict[str, Any] = {"value": value, "seed": seed, "frozen": frozen, "client": client}
    folder = None if store is None else Path(store)
    fits = _Fits(objective, axes, space, deviance, given, method, budget, folder)
    fits.begin(best)
    threshold = float(chi2.ppf(level, 1))
    names = list(parameters or space.names)
    for _ in range(3):  # a lower value found on the way is a better fit to begin from
        second = profiling.curvature(fits.deviances, fits.at)
        spread = profiling.covariance(second)
        found = {
            name: profiling.profile(
                fits.along(name),
                fits.at,
                space.names.index(name),
                deviation=math.sqrt(spread[number, number]),
                threshold=threshold,
                points=points,
            )
            for number, name in enumerate(space.names)
            if name in names
        }
        if not fits.has_found_better():
            break
    return _labelled(fits, found, spread, threshold, level)


class _Fits:
    """The best point so far, and fits with one parameter held."""

    def __init__(
        self,
        objective: Callable[..., Any] | Stage,
        axes: Mapping[str, object],
        space: "SearchSpace",
        deviance: "Deviance",
        given: dict[str, Any],
        method: str,
        budget: int | None,
        folder: Path | None,
    ) -> None:
        self.space, self.deviance = space, deviance
        self._objective, self._axes, self._given = objective, axes, given
        self._method, self._budget, self._folder = method, budget, folder
        self.at, self.value, self.evaluations = np.empty(0), math.inf, 0
        self._better: tuple[float, np.ndarray[Any, Any]] | None = None

    def begin(self, best: "Minimum | Mapping[str, object] | None") -> None:
        """Take or find the best fit, and go down from it as far as it goes."""
        x = best if best is None or isinstance(best, Mapping) else best.x
        if x is None:
            first = self._minimize(self._axes, "first", method="cmaes")
            x = first.x
        last = self._minimize(self._axes, "best", method="nelder_mead", start=x, step_size=0.02)
        self.at, self.value = self.space.position(last.x), last.value

    def deviances(self, points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the deviance at some points, shape ``(n,)``, NaN where the objective fails."""
        from toolkit.optimizers.search_space import NUMBERS
        from toolkit.optimizers.search_values import chosen_output

        n = np.arange(len(points))
        numbers = dict(zip(NUMBERS, (n, np.zeros_like(n), np.zeros_like(n)), strict=True))
        rows = self.space.rows(self.space.columns(points), numbers)
        sweep = Sweep(
            self._objective, Space((rows, *self.space.constants)), frozen=self._given["frozen"]
        )
        data = sweep.run(self._given["client"], progress=False)
        name = chosen_output(self._given["value"], list(map(str, data.data_vars)))
        values = np.asarray(data[name].sortby("evaluation").values, np.float64).reshape(-1)
        self.evaluations += len(points)
        self._note(values, points)
        return self.deviance.of(values, self.value)

    def along(
        self, name: str
    ) -> Callable[[float, np.ndarray[Any, Any]], tuple[np.ndarray[Any, Any], float]]:
        """Return what fits the others with one parameter held."""
        number = self.space.names.index(name)
        others = [each for each in self.space.names if each != name]

        def fit(place: float, start: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
            held = start.copy()
            held[number] = place
            values = self._values(held)
            if not others:
                return held, float(self.deviances(held[None])[0])
            axes = {**self._axes, name: values[name]}
            begin = {each: values[each] for each in others}
            found = self._minimize(axes, f"{name}={values[name]!r}", start=begin, step_size=0.02)
            point = self.space.position({**found.x, name: values[name]})
            point[number] = place
            self._note(np.array([found.value]), point[None])
            return point, float(self.deviance.of(found.value, self.value))

        return fit

    def has_found_better(self) -> bool:
        """Whether a value well below the best was found; the search then begins there."""
        better, self._better = self._better, None
        if better is None:
            return False
        last = self._minimize(
            self._axes,
            f"better {better[0]!r}",
            method="nelder_mead",
            start=self._values(better[1]),
            step_size=0.02,
        )
        self.at, self.value = self.space.position(last.x), last.value
        return True

    def _note(self, values: np.ndarray[Any, Any], points: np.ndarray[Any, Any]) -> None:
        if not np.isfinite(values).any():
            return
        at = int(np.nanargmin(values))
        least = float(values[at])
        if self.deviance.of(least, self.value) < -0.01 and (
            self._better is None or least < self._better[0]
        ):
            self._better = least, points[at].copy()

    def _minimize(self, axes: Mapping[str, object], name: str, **given: Any) -> "Minimum":
        options = {"method": self._method, **self._given, **given}
        store = None if self._folder is None else self._folder / f"{name}.zarr"
        found = minimize(
            self._objective, axes, budget=self._budget, store=store, progress=False, **options
        )
        self.evaluations += found.evaluations
        return found

    def _values(self, point: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return parameters at a point, by name."""
        columns = self.space.columns(point[None])
        return {column.name: column.values(np.array([0]))[0] for column in columns}


def _labelled(
    fits: _Fits,
    found: "dict[str, Profile]",
    spread: np.ndarray[Any, Any],
    threshold: float,
    level: float,
) -> "xr.Dataset":
    """Return everything by the names of parameters."""
    import xarray as xr

    from toolkit.optimizers import profiling

    space, all_names = fits.space, list(fits.space.names)
    names, at = list(found), fits.at
    rows = [all_names.index(name) for name in names]
    size = max(len(each.deviance) for each in found.values())
    deviation = np.sqrt(np.diag(spread))

    def value(number: int, u: Any) -> Any:
        return np.asarray(space.axes[all_names[number]].ppf(np.clip(u, 0.0, 1.0)), np.float64)

    fitted = np.full((len(names), size, len(all_names)), np.nan)
    fell = np.full((len(names), size), np.nan)
    verdicts = []
    for row, (name, each) in enumerate(found.items()):
        fell[row, : len(each.deviance)] = each.deviance
        for number in range(len(all_names)):
            fitted[row, : len(each.points), number] = value(number, each.points[:, number])
        low = value(rows[row], each.low if math.isfinite(each.low) else 0.0)
        high = value(rows[row], each.high if math.isfinite(each.high) else 1.0)
        moved = np.ptp(each.points, axis=0)
        moved[rows[row]] = -1
        partner = all_names[int(moved.argmax())] if moved.max() > 0.05 else ""
        words = (f"{float(low):.4g}", f"{float(high):.4g}")
        verdicts.append(profiling.verdict(name, each, words, partner, level))

    def ends(places: Sequence[float]) -> list[float]:
        return [
            float(value(number, u)) if math.isfinite(u) else math.nan
            for number, u in zip(rows, places, strict=True)
        ]

    half = math.sqrt(threshold) * deviation
    scales = [type(space.axes[name]).__name__.lower() for name in names]
    return xr.Dataset(
        {
            "estimate": ("parameter", ends([at[number] for number in rows])),
            "low": ("parameter", ends([each.low for each in found.values()])),
            "high": ("parameter", ends([each.high for each in found.values()])),
            "hessian_low": ("parameter", ends([(at - half)[number] for number in rows])),
            "hessian_high": ("parameter", ends([(at + half)[number] for number in rows])),
            "verdict": ("parameter", np.array(verdicts, dtype=np.str_)),
            "profile": (
                ("parameter", "point"),
                np.array([fitted[row, :, number] for row, number in enumerate(rows)]),
            ),
            "deviance": (("parameter", "point"), fell, {"long_name": "deviance"}),
            "fit": (("parameter", "point", "other"), fitted),
            "correlation": (
                ("parameter", "other"),
                (spread / np.outer(deviation, deviation))[rows],
            ),
        },
        coords={
            "parameter": names,
            "other": all_names,
            "point": np.arange(size),
            "scale": ("parameter", scales),
        },
        attrs={
            "cost": fits.deviance.cost,
            "level": level,
            "threshold": threshold,
            "least_value": fits.value,
            "evaluations": fits.evaluations,
        },
    )


def _deviance(cost: str, n_data: int | None) -> "Deviance":
    from toolkit.optimizers.profiling import COSTS, Deviance
    from toolkit.spaces.build import unknown

    if cost not in COSTS:
        raise SweepError(str(unknown("likelihood_profile: the cost", cost, COSTS)))
    if cost == "sse" and (isinstance(n_data, bool) or not isinstance(n_data, int) or n_data < 2):
        raise SweepError(
            f"cost='sse' needs the number of data points, and n_data={n_data!r}. Without it a sum "
            "of squares does not tell how likely it is."
        )
    return Deviance(cost=cost, n_data=n_data)


def _check(
    space: "SearchSpace", parameters: Sequence[str] | None, level: float, points: int
) -> None:
    from toolkit.optimizers.gradients import check_real
    from toolkit.spaces.build import unknown

    check_real(space, "likelihood_profile")
    for name in parameters or ():
        if name not in space.axes:
            raise SweepError(str(unknown("parameters: the parameter", name, space.axes)))
    if not 0 < level < 1:
        raise SweepError(f"level={level!r} must lie between 0 and 1, such as 0.95.")
    if isinstance(points, bool) or not isinstance(points, int) or points < 2:
        raise SweepError(f"points={points!r} must be a whole number of at least 2.")
