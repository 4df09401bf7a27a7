"""Draws from global random generators, which make results depend on the order of the runs."""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

_MOST_EVENTS = 20_000


def global_draws() -> Callable[[], tuple[str, ...]]:
    """Watch the global random generators; call the result to learn which this thread drew from.

    Other threads of a Dask worker draw from ``random`` all the time, so its use is seen by the
    calls that this thread makes (the first 20,000 of them), and that of numpy and torch by a
    changed state. Generators of modules that nobody has imported are not imported.

    Examples
    --------
    >>> import random
    >>> changed = global_draws()
    >>> _ = random.random()
    >>> changed()
    ('random',)
    """
    before = _states()
    calls = _Calls()
    calls.begin()

    def changed() -> tuple[str, ...]:
        calls.end()
        calls.let_go()
        drawn = ("random",) if calls.has_drawn else ()
        after = _states()
        return (
            *drawn,
            *(name for name, state in after.items() if before.get(name, state) != state),
        )

    return changed


class _Calls:
    """Looks for calls of the methods of ``random``'s hidden instance, in this thread only.

    It refers to its own callback until the watch has ended. Python 3.11 makes a frame object before
    it calls a profiler, that may collect garbage, and what the collector calls is profiled as well:
    a callback that ends the watch from there and that nobody else refers to is freed, then called.
    """

    def __init__(self) -> None:
        self.has_drawn = False
        self._events = 0
        self._is_on = False
        self._callback: Callable[[FrameType, str, Any], None] | None = None

    def begin(self) -> None:
        if sys.getprofile() is None:  # somebody else's profiler is left alone
            self._is_on = True
            self._callback = self._look
            sys.setprofile(self._callback)

    def end(self) -> None:
        if self._is_on:
            self._is_on = False
            sys.setprofile(None)

    def let_go(self) -> None:
        """Give the callback back, once nobody can be about to call it."""
        self._callback = None

    def _look(self, _frame: FrameType, event: str, function: Any) -> None:
        self._events += 1
        if event == "c_call":
            module = sys.modules.get("random")
            owner = getattr(function, "__self__", None)
            self.has_drawn = module is not None and owner is getattr(module, "_inst", None)
        if self.has_drawn or self._events > _MOST_EVENTS:
            self.end()


def _states() -> dict[str, object]:
    states: dict[str, object] = {}
    if "numpy.random" in sys.modules:
        state = np.random.get_state(legacy=False)  # noqa: NPY002  (the global one is what we watch)
        inner = state["state"]
        position = inner.get("pos", inner.get("state"))
        states["np.random"] = (hash(np.asarray(inner.get("key", 0)).tobytes()), position)
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        states["torch"] = hash(torch.get_rng_state().numpy().tobytes())
    return states
