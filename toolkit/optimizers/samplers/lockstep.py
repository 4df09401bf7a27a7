"""A pool for dynesty: its tasks go side by side, and what they want evaluated is one batch."""

from collections.abc import Callable, Iterable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np

from toolkit.optimizers.generational import Floats
from toolkit.optimizers.samplers.inversion import ClosedError, Evaluate


class LockstepPool:
    """Maps what dynesty asks for, each point of the unit cube evaluated in a batch with others.

    Which points make a batch depends on values only. Proposals from a bound are one evaluation
    each: one that is too low is returned as such, and dynesty takes the next, so that no batch
    waits for the longest row of refusals. Walks and slices take a step each at a time.

    Parameters
    ----------
    evaluate
        Returns the log-likelihood at points, shape ``(n,)``, NaN where one failed.
    """

    def __init__(self, evaluate: Evaluate) -> None:
        from dynesty.internal_samplers import UniformBoundSampler, UnitCubeSampler
        from dynesty.utils import LogLikelihood, LoglOutput

        self._evaluate = evaluate
        self._from_bounds = (UniformBoundSampler.sample, UnitCubeSampler.sample)
        self._likelihood, self._output = LogLikelihood, LoglOutput

    def map(self, function: Callable[..., Any], arguments: Iterable[Any]) -> list[Any]:
        """Return what a function of dynesty returns for each of some arguments."""
        tasks = list(arguments)
        if isinstance(function, self._likelihood):
            return self._outputs(np.array(tasks))
        if function in self._from_bounds:
            return self._proposals(function, tasks)
        return self._side_by_side(function, tasks)

    def _outputs(self, points: Floats) -> list[Any]:
        values = self._evaluate(points)
        values = np.where(np.isfinite(values), values, -np.inf)
        return [self._output(value, False) for value in values.tolist()]

    def _proposals(self, function: Callable[..., Any], tasks: list[Any]) -> list[Any]:
        """Take one point of each, whatever its value: dynesty compares it with its threshold."""
        any_value = self._output(0.0, False)
        made = [
            function(task._replace(loglstar=-np.inf, loglikelihood=lambda _: any_value))
            for task in tasks
        ]
        values = self._outputs(np.array([each.u for each in made]))
        return [
            each._replace(logl=value, evaluation_history=[])
            for each, value in zip(made, values, strict=True)
        ]

    def _side_by_side(self, function: Callable[..., Any], tasks: list[Any]) -> list[Any]:
        steppers = [_Stepper(function, task) for task in tasks]
        try:
            running = steppers
            while running:
                for each in running:  # one after the other: what they draw is their own
                    each.proceed()
                running = [each for each in running if each.wanted is not None]
                if running:
                    values = self._outputs(np.array([each.wanted for each in running]))
                    for each, value in zip(running, values, strict=True):
                        each.found = value
        finally:
            for each in steppers:
                each.close()
        return [each.result for each in steppers]


class _Stepper:
    """A task in a thread that stops wherever it wants a value."""

    def __init__(self, function: Callable[..., Any], task: Any) -> None:
        self.wanted: Floats | None = None
        self.found: Any = None
        self.result: Any = None
        self._error: BaseException | None = None
        self._function, self._task = function, task
        self._go: SimpleQueue[bool] = SimpleQueue()
        self._stopped: SimpleQueue[None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="walk", daemon=True)
        self._thread.start()

    def proceed(self) -> None:
        """Go on until the next value is wanted, or to the end."""
        self.wanted = None
        self._go.put(True)
        self._stopped.get()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End it, wherever it is."""
        self._go.put(False)
        self._thread.join()

    def _work(self) -> None:
        if not self._go.get():
            return
        try:
            self.result = self._function(self._task._replace(loglikelihood=self._value))
        except ClosedError:
            return
        except BaseException as error:  # noqa: BLE001 - raised where the task is mapped
            self._error = error
        self._stopped.put(None)

    def _value(self, point: Floats) -> Any:
        self.wanted = np.array(point)
        self._stopped.put(None)
        if not self._go.get():
            raise ClosedError
        return self.found
