"""``ODEProblem``: equations and data as an objective."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.costs import COSTS, noise_of
from toolkit.optimizers.ode.engines import check_engine
from toolkit.optimizers.ode.evaluation import Evaluation, LogLikelihood, signature_of
from toolkit.optimizers.ode.experiment import Experiment
from toolkit.optimizers.ode.observations import n_rows, observations_of, times_of
from toolkit.optimizers.ode.solutions import Floats, IntegrationError, Tolerances
from toolkit.optimizers.ode.system import system_of
from toolkit.spaces.build import unknown
from toolkit.stages.stage import Stage, stage

if TYPE_CHECKING:
    import xarray as xr

    from toolkit.optimizers.ode.checking import EngineCheck

Cost = Literal["sse", "rmse", "gaussian"]


class ODEProblem:
    """Ordinary differential equations to fit to data: an objective for ``tk.minimize``.

    It is called with parameters by name, numbers or arrays, and returns the cost, NaN where the
    equations have no solution. ``tk.minimize`` and ``tk.Sweep`` evaluate many points in one call,
    and record why a point has no cost. Problems are added, ``first + second``, where the same
    parameters are to describe several data sets.

    Parameters
    ----------
    rhs
        ``rhs(t, u, p)`` returns the derivative of each state, as a list, tuple or array: ``u[0]``
        is the first state, ``p.alpha`` or ``p[0]`` a parameter. Or DiffSL text.
    times
        Of the data, ascending.
    data
        Shape ``(n_states, n_times)``, as the ``y`` of ``scipy.integrate.solve_ivp``, or with a row
        for each time, which is told from the former where the numbers differ; or a mapping,
        table or Dataset with the states that were observed, by name. NaN: missing.
    initial
        The value of each state at ``start_time``: a number, or the name of a parameter that is to
        be fitted. A mapping names the states. Or a function ``initial(p)``. DiffSL text says it
        itself.
    parameters
        Their names, in the order of ``p``.
    cost
        ``"sse"`` (sum of squared residuals), ``"rmse"``, or ``"gaussian"``, the negative
        log-likelihood under Gaussian noise.
    weights
        By which squared residuals are multiplied: a number, one for each state, or as the data.
    noise
        Standard deviation of the data: a number or the name of a parameter, for all states or by
        state; or as the data.
    engine
        ``"numba"``: Dormand-Prince 5(4), compiled. ``"diffsol"``: implicit methods, for stiff
        systems. ``"scipy"``: LSODA, in plain Python. ``"torch"``: all points at once, on a GPU.
        ``"scipy:BDF"``-like names in lower case choose a method. ``"auto"``: numba where it can
        compile ``rhs``, else scipy.
    rtol, atol
        Tolerances of a step.
    max_steps
        After so many, a point counts as failed.
    start_time
        When the states have their initial values; at the first of ``times`` where nothing is said.
    threads
        For compiled lanes; None for as many as a run of a sweep may use, and 1 outside of sweeps.

    Attributes
    ----------
    parameters
        Names of all that can be fitted.
    cost
        As given.

    Raises
    ------
    SweepError
        If shapes, names or times do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> times = np.linspace(0, 3, 7)
    >>> problem = ODEProblem(
    ...     lambda t, u, p: [-p.rate * u[0]],
    ...     times=times, data=[2 * np.exp(-0.7 * times)], initial=[2.0], parameters=["rate"],
    ... )
    >>> bool(problem(rate=0.7) < 1e-10), round(problem(rate=0.6), 3)
    (True, 0.058)
    """

    def __init__(
        self,
        rhs: Callable[..., Any] | str,
        *,
        times: Any,
        data: Any,
        initial: Any = None,
        parameters: Sequence[str],
        cost: Cost = "sse",
        weights: Any = None,
        noise: Any = None,
        engine: str = "auto",
        rtol: float = 1e-6,
        atol: float = 1e-8,
        max_steps: int = 10_000,
        start_time: float | None = None,
        threads: int | None = None,
    ) -> None:
        if cost not in COSTS:
            raise SweepError(str(unknown("cost: the name", cost, COSTS)))
        if weights is not None and noise is not None:
            raise SweepError(
                "Give weights= or noise=: where the standard deviations of the data are known, "
                "they say what each value is worth."
            )
        if cost == "gaussian" and noise is None:
            raise SweepError(
                "cost='gaussian' needs noise=: the standard deviation of the data, or the name of "
                "a parameter that is to be fitted."
            )
        found_times, start = times_of(times, start_time)
        system = system_of(
            rhs, parameters=parameters, initial=initial, start_time=start, n_rows=n_rows(data)
        )
        experiment = Experiment(
            system=system,
            observations=observations_of(found_times, data, weights, system.states),
            noise=noise_of(noise, found_times, system.states),
            engine_name=check_engine(engine),
            tolerances=_tolerances(rtol, atol, max_steps),
            threads=_threads(threads),
        )
        self._fill((experiment,), cost)

    def _fill(self, experiments: tuple[Experiment, ...], cost: str) -> None:
        self._experiments, self.cost = experiments, cost
        names = [name for each in experiments for name in each.parameters]
        self.parameters: tuple[str, ...] = tuple(dict.fromkeys(names))
        self.__signature__ = signature_of(self.parameters)

    def __add__(self, other: "ODEProblem") -> "ODEProblem":
        """Return the problem of both data sets; parameters of the same name are the same."""
        if not isinstance(other, ODEProblem):
            return NotImplemented
        if other.cost != self.cost:
            raise SweepError(
                f"cost={self.cost!r} and cost={other.cost!r} cannot be added. Give both problems "
                "the same."
            )
        both = object.__new__(ODEProblem)
        both._fill(self._experiments + other._experiments, self.cost)
        return both

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Return the cost: a float, or an array where a parameter is an array."""
        return self.cost_at(self.cost, given, named)

    @property
    def log_likelihood(self) -> LogLikelihood:
        """The log-likelihood under Gaussian noise, called as the problem is.

        Raises
        ------
        SweepError
            If there is no ``noise=``.
        """
        if any(each.noise is None for each in self._experiments):
            raise SweepError(
                "A likelihood needs noise=: the standard deviation of the data, or the name of a "
                "parameter that is to be fitted."
            )
        return LogLikelihood(self)

    @property
    def compile_seconds(self) -> float:
        """Seconds that it took to compile the equations, or to load them."""
        return sum(each.engine.compile_seconds for each in self._experiments)

    @property
    def engine(self) -> str:
        """The engine that integrates."""
        return ", ".join(dict.fromkeys(each.engine.name for each in self._experiments))

    def solve(self, x: Any = None, /, **named: Any) -> "xr.Dataset":
        """Return the states at the times of the data, with dims ``state`` and ``time``.

        Parameters
        ----------
        x
            Parameters by name, as ``fit.x``, or in their order; or by keyword.

        Returns
        -------
        xarray.Dataset
            With ``prediction`` and ``data``; of several data sets along ``dataset``.

        Raises
        ------
        IntegrationError
            If there is no solution.
        """
        return self.residuals(x, **named)[["prediction", "data"]]

    def residuals(self, x: Any = None, /, **named: Any) -> "xr.Dataset":
        """Return data, prediction and residuals, to be drawn and looked at.

        Parameters
        ----------
        x
            As for :meth:`solve`.

        Returns
        -------
        xarray.Dataset
            With ``data``, ``prediction``, ``residual`` and ``scaled_residual``, the residual in
            standard deviations where the noise is known; dims ``state`` and ``time``, of several
            data sets ``dataset`` before them.

        Raises
        ------
        IntegrationError
            If there is no solution.
        """
        import xarray as xr

        point = self._point(x, named)
        found = [each.dataset(point) for each in self._experiments]
        return found[0] if len(found) == 1 else xr.concat(found, "dataset", join="outer")

    def check(self, x: Any = None, /, **named: Any) -> "EngineCheck":
        """Compare engines at a point: how exact, how fast, and which to take.

        Parameters
        ----------
        x
            As for :meth:`solve`: a point near the fit.
        """
        from toolkit.optimizers.ode.checking import check_engines

        point = self._point(x, named)
        return check_engines(self._experiments, point)

    def toolkit_stage(self, kind: str | None = None) -> Stage:
        """Return the stage that a sweep runs, many points in one call."""
        for each in self._experiments:
            each.engine  # noqa: B018  (compiled before anything is timed, and kept for workers)
        evaluation = Evaluation(self, kind or self.cost)
        made: Stage = stage(evaluation, name=evaluation.kind, vectorized=True)
        return made

    def evaluated(
        self, kind: str, named: Mapping[str, Floats]
    ) -> tuple[Floats, dict[int, IntegrationError]]:
        """Return costs, shape ``(n,)``, NaN where a point failed, and why it did.

        Parameters
        ----------
        kind
            One of ``COSTS``, or ``"log_likelihood"``.
        named
            Parameters, each of shape ``(n,)``.
        """
        total, errors = self._experiments[0].tally(named)
        for each in self._experiments[1:]:
            more, others = each.tally(named)
            total, errors = total + more, {**others, **errors}
        return total.cost(kind), errors

    def code_parts(self) -> dict[str, str]:
        """Return a hash of each thing that costs depend on, by name."""
        parts: dict[str, str] = {}
        for number, each in enumerate(self._experiments):
            before = f"data set {number}: " if len(self._experiments) > 1 else ""
            parts |= {f"{before}{name}": part for name, part in each.code_parts().items()}
        return parts

    def __repr__(self) -> str:
        said = [f"{self.cost}, parameters: {', '.join(self.parameters)}"]
        for each in self._experiments:
            seen = each.observations
            said.append(
                f"{len(each.system.states)} states ({', '.join(each.system.states)}) at "
                f"{len(seen.times)} times from {seen.times[0]:g} to {seen.times[-1]:g}, "
                f"{int(seen.counts.sum()):,} values"
            )
        return f"<ODEProblem {'; '.join(said)}>"

    def cost_at(self, kind: str, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return costs of a kind for arguments as the problem is called with."""
        arrays, shape = self.arrays(given, named)
        values, _ = self.evaluated(kind, arrays)
        return values.reshape(shape) if shape else float(values[0])

    def arrays(
        self, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[dict[str, Floats], tuple[int, ...]]:
        """Return parameters by name, each of shape ``(n,)``, and the shape that they had.

        Raises
        ------
        SweepError
            If one is missing or not known.
        """
        mapping = next((each for each in given if isinstance(each, Mapping)), None)
        if mapping is not None and len(given) == 1:
            return self.arrays((), {**mapping, **named})
        wrong = [name for name in named if name not in self.parameters]
        if wrong:
            raise SweepError(str(unknown("The parameter", wrong[0], self.parameters)))
        values = dict(zip(self.parameters, given, strict=False)) | named
        missing = [name for name in self.parameters if name not in values]
        if missing or len(given) > len(self.parameters):
            raise SweepError(
                f"The parameters are {', '.join(self.parameters)}; "
                + (f"{missing[0]!r} is missing." if missing else f"found {len(given)} values.")
            )
        arrays = {name: np.asarray(values[name], np.float64) for name in self.parameters}
        shape = np.broadcast_shapes(*(each.shape for each in arrays.values()))
        whole = {name: np.broadcast_to(each, shape).reshape(-1) for name, each in arrays.items()}
        return whole, shape

    def _point(self, x: Any, named: dict[str, Any]) -> dict[str, Floats]:
        if x is not None and not isinstance(x, Mapping):
            x = dict(zip(self.parameters, np.asarray(x, np.float64).tolist(), strict=True))
        inside = {name: each for name, each in (x or {}).items() if name in self.parameters}
        arrays, shape = self.arrays((), {**inside, **named})
        if shape != ():
            raise SweepError("Give one number for each parameter here, not an array.")
        return arrays


def _tolerances(rtol: Any, atol: Any, max_steps: Any) -> Tolerances:
    for name, each in (("rtol", rtol), ("atol", atol)):
        if not isinstance(each, int | float) or not 0 < each < 1:
            raise SweepError(f"{name}={each!r} must be a number between 0 and 1.")
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or max_steps < 1:
        raise SweepError(f"max_steps={max_steps!r} must be a whole number of at least 1.")
    return Tolerances(rtol=float(rtol), atol=float(atol), max_steps=max_steps)


def _threads(given: Any) -> int | None:
    if given is not None and (isinstance(given, bool) or not isinstance(given, int) or given < 1):
        raise SweepError(f"threads={given!r} must be a whole number of at least 1, or None.")
    return given
