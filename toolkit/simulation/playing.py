"""Plays runs: steps a model, observes it, and has what is wanted recorded."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.capture import CapturedStepper, cuda_graph
from toolkit.simulation.model import (
    DenseStepper,
    HasActiveSet,
    ManyStepper,
    SimulationModel,
    Stepper,
)
from toolkit.simulation.per_agent import looped
from toolkit.simulation.recording import Recorder
from toolkit.simulation.run_stats import RunStats
from toolkit.simulation.step_draws import StepDraws
from toolkit.simulation.streaming import StreamedRecorder
from toolkit.simulation.validation import FIRST_STEPS, Validation

AnyRecorder = TypeVar("AnyRecorder", Recorder, StreamedRecorder)

_CELLS_AT_ONCE = 2**26  # agents times runs that are stepped together


class Player:
    """Plays the runs of one model on one device.

    Parameters
    ----------
    model
        On its device.
    device
        That.
    is_active
        Whether those alone are stepped with whom something may happen.
    contacts
        ``"push"``, ``"pull"`` or ``"auto"``.
    capture
        ``"on"``, ``"off"`` or ``"auto"``.
    validates
        Whether to look at the first steps.

    Attributes
    ----------
    stats
        What the latest call took.
    """

    def __init__(
        self,
        model: SimulationModel,
        device: torch.device,
        *,
        is_active: bool,
        contacts: str,
        capture: str,
        validates: bool,
    ) -> None:
        self._model, self._device = model, device
        self._is_active, self._contacts = is_active, contacts
        self._capture, self._validates = capture, validates
        self.stats = RunStats(device=str(device))

    @property
    def at_once(self) -> int:
        """How many runs are stepped together."""
        return max(1, _CELLS_AT_ONCE // max(1, self._model.n_agents))

    def play(
        self,
        steps: int,
        given: Mapping[str, Tensor],
        seeds: NDArray[np.int64],
        recorder_of: Callable[[int], AnyRecorder],
    ) -> Iterator[AnyRecorder]:
        """Run some runs after the other; yield what has recorded them."""
        n_runs = len(seeds)
        self.stats = RunStats(device=str(self._device), steps=steps, runs=n_runs)
        self.stats.agent_steps = steps * n_runs * self._model.n_agents
        before = looped()
        for first in range(0, n_runs, self.at_once):
            some = slice(first, first + self.at_once)
            values = {
                **given,
                **{name: each[some] for name, each in varied(self._model, given).items()},
            }
            seeds_there = torch.from_numpy(seeds[some]).to(self._device)
            recorder = recorder_of(first // self.at_once)
            with torch.no_grad():
                torch.func.functional_call(
                    self._model, values, (self._play_part, steps, seeds_there, recorder)
                )
            yield recorder
        self.stats.looped = looped() - before

    def _play_part(self, steps: int, seeds: Tensor, recorder: AnyRecorder) -> None:
        """Run with the parameters that are in the model now."""
        self._model.check()
        most = getattr(self._model, "most_steps", steps)
        if steps > most:
            raise SimulationError(
                f"steps={steps:,}: {type(self._model).__name__} counts them in 16 bits; with these "
                f"durations give at most {most:,}, or choose longer steps."
            )
        begun = time.perf_counter()
        rng = StepDraws(seeds)
        stepper = self._stepper(self._model.initial_state(rng))
        begun = self.stats.spent("init", begun)
        watch = Validation(type(self._model).__name__, stepper.state, len(seeds))
        in_steps = 0.0
        if isinstance(stepper, ManyStepper):
            for start, many in recorder.spans(stepper.observables):
                since = time.perf_counter()
                spans = stepper.play(start, many, rng)
                in_steps += time.perf_counter() - since
                if self._validates and start < FIRST_STEPS:
                    watch.look(
                        start, stepper.state, {name: each[0] for name, each in spans.items()}
                    )
                recorder.note_span(start, spans, stepper.state)
        else:
            for t in range(steps):
                since = time.perf_counter()
                stepper.step(t, rng.at(t))
                in_steps += time.perf_counter() - since
                seen = stepper.observe(t)
                if self._validates and t < FIRST_STEPS:
                    watch.look(t, stepper.state, seen)
                recorder.note(t, seen, stepper.state)
        watch.end()
        self.stats.seconds["step"] = self.stats.seconds.get("step", 0.0) + in_steps
        self.stats.spent("record", begun + in_steps)
        self.stats.pushed += getattr(stepper, "pushed", 0)
        self.stats.pulled += getattr(stepper, "pulled", 0)
        self.stats.replayed += getattr(stepper, "replayed", 0)
        self.stats.dense += steps * isinstance(stepper, DenseStepper | CapturedStepper)

    def _stepper(self, state: Any) -> Stepper:
        if self._is_active and isinstance(self._model, HasActiveSet):
            return self._model.stepper(state, 0, self._contacts)
        if self._device.type == "cuda" and self._capture != "off":
            capture = partial(cuda_graph, device=self._device)
            return CapturedStepper(self._model, state, capture, must=self._capture == "on")
        return DenseStepper(self._model, state)


def named(model: SimulationModel, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters that are numbers, which label runs."""
    own = dict(model.named_parameters())
    return {name: each for name, each in given.items() if not own[name].ndim}


def varied(model: SimulationModel, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters that have one value for each run."""
    own = dict(model.named_parameters())
    return {name: each for name, each in given.items() if each.ndim > own[name].ndim}
