"""Whether a model keeps to what is asked of it: looked at in the first steps."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.model import Observed

FIRST_STEPS = 3


class Validation:
    """Compares the states of the first steps, and looks for numbers that are not finite.

    Parameters
    ----------
    model
        Its name.
    state
        Before the first step.
    n_runs
        How many runs there are.
    """

    def __init__(self, model: str, state: object, n_runs: int) -> None:
        self._model, self._n_runs = model, n_runs
        self._known = _forms(state)
        self._finite: list[tuple[int, str, Tensor]] = []

    def look(self, t: int, state: object, seen: Mapping[str, Observed]) -> None:
        """Look at what a step has made.

        Raises
        ------
        SimulationError
            If it changed the shape, type or device of the state, a number is not finite, or what is
            observed is not one number for each run.
        """
        forms = _forms(state)
        if set(forms) != set(self._known):
            raise SimulationError(
                f"Step {t} of {self._model} changed the fields of the state from "
                f"{', '.join(self._known)} to {', '.join(forms)}."
            )
        for name, form in forms.items():
            for what, before, after in zip(
                ("shape", "type", "device"), self._known[name], form, strict=True
            ):
                if before != after:
                    raise SimulationError(
                        f"Step {t} of {self._model} changed the {what} of {name!r} from {before} "
                        f"to {after}."
                    )
        for name, value in _tensors(state).items():
            if not value.is_floating_point():
                continue
            self._finite.append((t, name, torch.isfinite(value).all()))
            if value.device.type == "cpu":
                self.end()
        for name, observed in seen.items():
            if tuple(observed.shape) != (self._n_runs,):
                raise SimulationError(
                    f"{self._model} observes {name!r} of shape {tuple(observed.shape)}: it must "
                    f"be one number for each run, ({self._n_runs},)."
                )

    def end(self) -> None:
        """Raise SimulationError for a number that was not finite; a GPU is asked only now."""
        for t, name, is_finite in self._finite:
            if not bool(is_finite):
                raise SimulationError(f"After step {t} of {self._model} {name!r} is not finite.")
        self._finite.clear()


def _forms(state: object) -> dict[str, tuple[Any, ...]]:
    return {
        name: (tuple(each.shape), each.dtype, each.device) for name, each in _tensors(state).items()
    }


def _tensors(state: object) -> dict[str, Tensor]:
    if isinstance(state, Tensor):
        return {"state": state}
    if not is_dataclass(state) or isinstance(state, type):
        return {}
    found = {each.name: getattr(state, each.name) for each in fields(state)}
    return {name: each for name, each in found.items() if isinstance(each, Tensor)}
