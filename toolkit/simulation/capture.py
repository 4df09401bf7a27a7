"""Dense steps captured once as a CUDA graph, and replayed: one launch for all of a step's kernels.

A graph reads and writes the memory that it was captured with. The state is therefore held in one
place, and the number of the step in a tensor on the device, which the graph counts up itself.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.model import DenseStepper, Observed, SimulationModel, State
from toolkit.simulation.policies import CHECKED_STEPS, policies_of
from toolkit.simulation.validation import FIRST_STEPS

if TYPE_CHECKING:
    from toolkit.simulation.step_draws import StepDraws

logger = logging.getLogger("toolkit")

Replay = Callable[[], None]
Capture = Callable[[Callable[[], None]], Replay]


class CapturedStepper:
    """Steps all agents by the model's own ``step``: some steps as they are, then by replays.

    The first steps are run one kernel after the other, which readies the libraries that they use,
    and in which the state and policies are looked at. A model whose step cannot be captured, for
    it asks the device for a value, is stepped so to the end; that is said in one line.

    Parameters
    ----------
    model, state
        What to step, and from where.
    capture
        Turns a function into its replay; the function is called once at most, which may or may
        not do its work.
    must
        Whether a step that cannot be captured is an error.

    Attributes
    ----------
    state
        After the latest step.
    replayed
        How many steps were replays.
    """

    def __init__(
        self,
        model: SimulationModel,
        state: State,
        capture: Capture,
        *,
        must: bool = False,
    ) -> None:
        self._model, self._capture, self._must = model, capture, must
        self._plain = DenseStepper(model, state)
        self.state = state
        starts = [each.start + CHECKED_STEPS for each in policies_of(model)]
        self._first = max([FIRST_STEPS, *starts])
        self._replay: Replay | None = None
        self._is_able = True
        self._seen: Mapping[str, Tensor] = {}
        self._t = torch.zeros(())
        self.replayed = 0

    def step(self, t: int, rng: "StepDraws") -> None:
        """Go on by step ``t``."""
        if t >= self._first and self._is_able and self._replay is None:
            self._replay = self._captured(t, rng)
        if self._replay is None:
            self._plain.step(t, rng)
            self.state = self._plain.state
            return
        self._replay()
        self.replayed += 1

    def observe(self, t: int) -> Mapping[str, Observed]:
        """Return what the model observes; of a replay it is overwritten by the next one."""
        return self._seen if self._replay is not None else self._plain.observe(t)

    def _captured(self, t: int, rng: "StepDraws") -> Replay | None:
        """Return what goes on by one step from ``t`` on, None where it cannot be captured."""
        if not _tensors(self.state):
            self._is_able = False
            return None
        state = self.state = self._plain.state = _held(self.state)
        self._t = torch.full((), t, dtype=torch.int64, device=rng.device)
        step: Any = self._t  # a number on the device in place of one here

        def body() -> None:
            after = self._model.step(state, step, rng.at(step))
            self._seen = dict(self._model.observe(after, step))
            # What is observed may be a part of the state, which is overwritten below.
            self._seen = {name: each.clone() for name, each in self._seen.items()}
            for name, held in _tensors(state).items():
                held.copy_(getattr(after, name))
            self._t.add_(1)

        try:
            return self._capture(body)
        except (RuntimeError, TypeError) as error:
            why = " ".join(str(error).split())[:200]
            name = type(self._model).__name__
            if self._must:
                raise SimulationError(
                    f"The step of {name} cannot be captured: {why}. A step that is captured reads "
                    "no value of the device; pass capture='off' otherwise."
                ) from error
            logger.warning("the step of %s is not captured, which is slower: %s", name, why)
            self._is_able = False
            return None


def cuda_graph(body: Callable[[], None], device: torch.device) -> Replay:
    """Return the replay of what a function launches on a GPU; nothing of it is done yet."""
    cuda: Any = torch.cuda
    graph = cuda.CUDAGraph()
    # thread_local: the thread that writes records may wait for its own events meanwhile.
    with cuda.device(device), cuda.graph(graph, capture_error_mode="thread_local"):
        body()
    replay: Replay = graph.replay
    return replay


def _held(state: State) -> State:
    """Return a state whose tensors stay where they are, each with memory of its own."""
    found = {each.name: getattr(state, each.name) for each in fields(state)}
    kept = {
        name: each.contiguous().clone() if isinstance(each, Tensor) else each
        for name, each in found.items()
    }
    return type(state)(**kept)


def _tensors(state: State) -> dict[str, Tensor]:
    if not is_dataclass(state) or isinstance(state, type):
        return {}
    found = {each.name: getattr(state, each.name) for each in fields(state)}
    return {name: each for name, each in found.items() if isinstance(each, Tensor)}
