"""The samplers of optuna: tree-structured Parzen estimators and Gaussian processes."""

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Floats, State

_SAMPLERS = {"tpe": "TPESampler", "gp": "GPSampler"}


class ByOptuna:
    """The rule by which a sampler of optuna draws the next points from all that is known.

    Its state is what it was told: it is made again from its seed, asked for the same points and
    told the same values.

    Parameters
    ----------
    method
        ``"tpe"`` or ``"gp"``.
    start
        The first point, shape ``(n_dims,)``, from 0 to 1.
    population
        Points that are drawn before the values of one are known.
    seed
        Of its draws.
    counts
        How many values each coordinate takes, shape ``(n_dims,)``, 0 where it is continuous.
    is_ordered
        Whether the values of a coordinate are numbers rather than choices, shape ``(n_dims,)``.

    Raises
    ------
    SweepError
        If optuna is not installed, or torch, which its Gaussian processes need.
    """

    def __init__(
        self,
        method: str,
        start: Floats,
        *,
        population: int = 1,
        seed: int = 0,
        counts: npt.NDArray[np.int64] | None = None,
        is_ordered: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        n = self.n_dims = len(start)
        self.population = population
        self.stopped, self.is_converged = "", False
        self._method, self._seed = method, seed
        self._start = np.array(start, np.float64)
        self._counts = np.zeros(n, np.int64) if counts is None else np.asarray(counts)
        self._is_ordered = np.ones(n, np.bool_) if is_ordered is None else np.asarray(is_ordered)
        self._trials: list[Any] = []
        self._values = np.empty(0)
        self._begin()

    def draw(self) -> Floats:
        """Return the next points, shape ``(population, n_dims)``."""
        with _quiet():
            self._trials = [self._study.ask(self._kinds) for _ in range(self.population)]
        return np.array([self._point(trial.params) for trial in self._trials])

    def learn(self, points: Floats, values: Floats) -> None:
        """Take in the values of the points drawn last, in their order."""
        failed = self._optuna.trial.TrialState.FAIL
        with _quiet():
            for trial, value in zip(self._trials, values.tolist(), strict=True):
                if math.isfinite(value):
                    self._study.tell(trial, value)
                else:
                    self._study.tell(trial, state=failed)
        self._values = np.append(self._values, values)
        if not np.isfinite(self._values).any() and len(self._values) >= 3 * max(8, len(points)):
            self.stopped = f"all values of the first {len(self._values)} points failed"

    def state(self) -> State:
        """Return all that it knows: arrays, numbers and text by name."""
        return {
            "method": self._method,
            "seed": self._seed,
            "start": self._start.copy(),
            "values": self._values.copy(),
            "is_under_way": len(self._study.trials) > len(self._values) + self._n_waiting(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become as it was when it returned this state."""
        self._method, self._seed = str(state["method"]), int(state["seed"])
        self._start = np.array(state["start"], np.float64)
        self.stopped = ""
        self._begin()
        values = np.asarray(state["values"], np.float64)
        for told in values.reshape(-1, self.population):
            self.learn(self.draw(), told)
        if state["is_under_way"]:
            self.draw()

    def _n_waiting(self) -> int:
        """Return how many trials were put in line and not asked for: the start, before all."""
        waiting = self._optuna.trial.TrialState.WAITING
        return sum(trial.state == waiting for trial in self._study.trials)

    def _begin(self) -> None:
        self._optuna = optuna = _optuna(self._method)
        kinds = optuna.distributions
        self._kinds: dict[str, Any] = {}
        for at, (count, is_ordered) in enumerate(zip(self._counts, self._is_ordered, strict=True)):
            if count < 1:
                self._kinds[str(at)] = kinds.FloatDistribution(0.0, 1.0)
            elif is_ordered:
                self._kinds[str(at)] = kinds.IntDistribution(0, int(count) - 1)
            else:
                self._kinds[str(at)] = kinds.CategoricalDistribution(range(int(count)))
        options: dict[str, Any] = {"seed": self._seed % 2**32}
        if self._method == "tpe":
            options |= {"multivariate": True, "constant_liar": self.population > 1}
        with _quiet():
            sampler = getattr(optuna.samplers, _SAMPLERS[self._method])(**options)
            self._study = optuna.create_study(sampler=sampler)
            self._study.enqueue_trial(self._named(self._start))
        self._trials, self._values = [], np.empty(0)

    def _named(self, point: Floats) -> dict[str, Any]:
        at = np.minimum((point * self._counts).astype(np.int64), np.maximum(self._counts - 1, 0))
        return {
            str(number): int(at[number]) if self._counts[number] else float(point[number])
            for number in range(self.n_dims)
        }

    def _point(self, params: Mapping[str, Any]) -> list[float]:
        return [
            (params[str(at)] + 0.5) / int(count) if count else params[str(at)]
            for at, count in enumerate(self._counts)
        ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep each trial out of the log, and warnings that something may change."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _optuna(method: str) -> Any:
    try:
        import optuna
    except ImportError:
        raise SweepError(
            f"method={method!r} needs optuna, which is not installed. Install it with: "
            "pip install 'parallel-analysis-toolkit[optimize]'"
        ) from None
    if method == "gp":
        import importlib.util

        if importlib.util.find_spec("torch") is None:
            raise SweepError(
                "method='gp' needs torch, which is not installed. Install it with: "
                "pip install 'parallel-analysis-toolkit[torch]'"
            )
    return optuna
