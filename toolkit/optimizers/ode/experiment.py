"""One data set with the equations that describe it, and the engine that integrates them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.costs import Noise, Tally, tally
from toolkit.optimizers.ode.engines import make_engine
from toolkit.optimizers.ode.observations import Observations
from toolkit.optimizers.ode.solutions import Engine, Floats, IntegrationError, Solutions, Tolerances
from toolkit.optimizers.ode.system import System
from toolkit.stages.code import code_hash
from toolkit.stages.constants import digest

if TYPE_CHECKING:
    import xarray as xr


@dataclass(eq=False, kw_only=True)
class Experiment:
    """Equations, data and how they are compared.

    Parameters
    ----------
    system, observations, noise
        What is fitted to what.
    engine_name, tolerances, threads
        How it is integrated.
    """

    system: System
    observations: Observations
    noise: Noise | None
    engine_name: str
    tolerances: Tolerances
    threads: int | None = None
    _engine: Engine | None = field(default=None, init=False, repr=False)
    _is_checked: bool = field(default=False, init=False, repr=False)

    @property
    def engine(self) -> Engine:
        """What integrates; made, and compiled, when it is first asked for."""
        if self._engine is None:
            weighted = self.observations
            if self.noise is not None:
                weighted = Observations(
                    times=weighted.times,
                    values=weighted.values,
                    weights=weighted.weights / self.noise.deviations**2,
                )
            self._engine = make_engine(
                self.engine_name, self.system, weighted, self.tolerances, self.threads
            )
        return self._engine

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters of equations and noise."""
        named = () if self.noise is None else tuple(filter(None, self.noise.names))
        return tuple(dict.fromkeys((*self.system.parameters, *named)))

    def solve(self, named: Mapping[str, Floats], *, keep: bool) -> Solutions:
        """Integrate at some points.

        Parameters
        ----------
        named
            Values of the parameters, each of shape ``(n,)``.
        keep
            Whether the states are wanted.
        """
        params = np.stack([named[name] for name in self.system.parameters], axis=1)
        params = np.ascontiguousarray(params, np.float64)
        initial = self.system.initial_of(params)
        if not self._is_checked and callable(self.system.rhs):
            self._check(params[0], initial[0])
        return self.engine.solve(params, initial, keep=keep)

    def tally(self, named: Mapping[str, Floats]) -> tuple[Tally, dict[int, IntegrationError]]:
        """Return what costs are made of, and the errors of the points that have none."""
        found = self.solve(named, keep=False)
        errors = {
            int(lane): error
            for lane in np.flatnonzero(found.is_failed)
            if (error := found.error(int(lane))) is not None
        }
        return tally(found.squares, self.observations, self.noise, named), errors

    def dataset(self, named: Mapping[str, Floats]) -> "xr.Dataset":
        """Return data, prediction and residuals at a point, dims ``state`` and ``time``.

        Raises
        ------
        IntegrationError
            If there is no solution.
        """
        import xarray as xr

        found = self.solve(named, keep=True)
        if (error := found.error(0)) is not None:
            raise error
        assert found.values is not None
        prediction, data = found.values[0], self.observations.values
        scale = np.sqrt(self.observations.weights)
        if self.noise is not None:
            named_sd = [named[name][0] if name else 1.0 for name in self.noise.names]
            scale = scale / (self.noise.deviations * np.array(named_sd)[:, None])
        dims = ("state", "time")
        return xr.Dataset(
            {
                "data": (dims, data, {"long_name": "observed"}),
                "prediction": (dims, prediction, {"long_name": "solution of the equations"}),
                "residual": (dims, data - prediction, {"long_name": "data - prediction"}),
                "scaled_residual": (
                    dims,
                    np.where(scale > 0, scale * (data - prediction), np.nan),
                    {"long_name": "residual, scaled by noise or weight"},
                ),
            },
            coords={"state": list(self.system.states), "time": self.observations.times},
        )

    def code_parts(self) -> dict[str, str]:
        """Return a hash of each thing that results depend on, by name."""
        system, seen, own = self.system, self.observations, self.tolerances
        parts = {"rhs": digest(system.rhs) if isinstance(system.rhs, str) else ""}
        if not isinstance(system.rhs, str):
            parts = dict(code_hash(system.rhs).parts)
        initial: Any = system.initial
        if callable(initial):
            parts |= {f"initial {name}": part for name, part in code_hash(initial).parts.items()}
        noise = None if self.noise is None else (self.noise.deviations.tolist(), self.noise.names)
        return parts | {
            "initial=": "" if callable(initial) else digest(repr((initial, system.start_time))),
            "parameters=": digest(repr((system.parameters, system.states))),
            "times=": digest(repr(seen.times.tolist())),
            "data=": digest(repr(seen.values.tolist())),
            "weights=": digest(repr(seen.weights.tolist())),
            "noise=": digest(repr(noise)),
            "engine=": digest(repr((self.engine_name, own))),
        }

    def _check(self, params: Floats, initial: Floats) -> None:
        try:
            self.system.derivative(self.system.start_time, initial, params.tolist())
        except (AttributeError, IndexError, NameError, TypeError) as error:
            raise SweepError(
                f"rhs(t, u, p) raises {type(error).__name__}: {error}. u has the states "
                f"{', '.join(self.system.states)}; p has {', '.join(self.system.parameters)}."
            ) from error
        except (ArithmeticError, ValueError):
            return  # there, not everywhere
        self._is_checked = True

    def __getstate__(self) -> dict[str, Any]:
        """Return what travels: workers compile for themselves."""
        return {**self.__dict__, "_engine": None}
