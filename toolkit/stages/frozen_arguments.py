"""Frozen inputs as arguments: handles become objects, and who writes to one is told which."""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np

from toolkit.errors import FrozenMutatedError
from toolkit.inputs import held
from toolkit.inputs.frozen import Frozen
from toolkit.stages.call import StageCall

_MAY_BE_WRITES = (ValueError, TypeError, BufferError, RuntimeError)
_READ_ONLY = ("read-only", "readonly", "WRITEABLE")


def frozen_in(call: StageCall) -> dict[str, Frozen]:
    """Return the frozen inputs of a call that are still handles, by the names that sweeps use."""
    return {name: each for name, each in call.constants.items() if isinstance(each, Frozen)}


def thaw(call: StageCall) -> StageCall:
    """Return the call with objects in the place of handles, loaded in this process.

    Its function notices runs that write to an input. The handles are kept: the objects stay
    loaded as long as the call is there.

    Raises
    ------
    FrozenError
        If an input cannot be had here.
    """
    handles = frozen_in(call)
    if not handles:
        return call
    objects = {name: handle.get() for name, handle in handles.items()}
    guard = Guard(function=call.function, handles=handles, stage=call.name, places=_places(call))
    return replace(call, function=guard).with_constants(objects)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where an input is among the arguments of a call."""

    input: str
    position: int | None
    keyword: str


class Guard:
    """A stage's function, called with frozen inputs: says which of them a run wrote to.

    Parameters
    ----------
    function
        The user's function.
    handles
        The inputs, by the names that the sweep gave them.
    stage
        Name of the stage.
    places
        Where they are among the arguments.
    """

    def __init__(
        self,
        *,
        function: Callable[..., Any],
        handles: Mapping[str, Frozen],
        stage: str,
        places: Iterable[_Place],
    ) -> None:
        self.function = function
        self.handles = dict(handles)
        self.stage = stage
        self.places = tuple(places)
        self._loaded = {name: _loaded(each) for name, each in self.handles.items()}
        self._replaced: frozenset[str] = frozenset()
        self._is_watching = any(loaded.watch for loaded in self._loaded.values())
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the function, with what it was given."""
        before = self._loaded
        if self._replaced:
            arguments, keywords = self._with_present(arguments, keywords)
        try:
            result = self.function(*arguments, **keywords)
        except Exception as error:
            if isinstance(error, _MAY_BE_WRITES) and any(word in str(error) for word in _READ_ONLY):
                self._name_input(error)
            self._check_tensors(before, error)
            raise
        if self._is_watching:
            self._check_tensors(before, None)
        return result

    def _check_tensors(
        self, before: Mapping[str, held.Loaded], error: BaseException | None
    ) -> None:
        changed = [name for name, loaded in before.items() if loaded.watch.has_changed]
        if not changed:
            return
        with self._lock:
            for name in changed:
                self._load_again(name, before[name])
        [first, *_] = changed
        raise FrozenMutatedError(
            f"The run wrote to {_listed(changed)}, which stage {self.stage!r} takes as frozen "
            f"input and other runs read. Its result is not kept. Work on a copy: "
            f"{first} = {first}.clone()."
        ) from error

    def _load_again(self, name: str, changed: held.Loaded) -> None:
        """Give whoever comes next what was frozen."""
        handle = self.handles[name]
        if _loaded(handle) is changed:
            held.drop(handle.token)
        self._loaded = {**self._loaded, name: _loaded(handle)}
        self._replaced |= {name}

    def _with_present(
        self, arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Put the objects that were loaded again in the place of those written to."""
        values = list(arguments)
        for place in self.places:
            if place.input in self._replaced:
                if place.position is not None:
                    values[place.position] = self._loaded[place.input].value
                else:
                    keywords = {**keywords, place.keyword: self._loaded[place.input].value}
        return tuple(values), keywords

    def _name_input(self, error: Exception) -> None:
        """Add to the text of an exception which input it was about."""
        tokens = _written(error.__traceback__)
        names = [name for name, each in self.handles.items() if each.token in tokens]
        names = names or list(self.handles)
        what = "is a frozen input" if len(names) == 1 else "are frozen inputs"
        [first, *_] = names
        error.args = (
            f"{error}: {_listed(names)} {what} of stage {self.stage!r}, which other runs read. "
            f"Work on a copy: {first} = {first}.copy().",
        )


def _places(call: StageCall) -> list[_Place]:
    first = sum(not argument.by_keyword for argument in call.arguments)
    return [
        _Place(input=argument.source, position=at if at < first else None, keyword=argument.name)
        for at, argument in enumerate(call.arguments)
        if argument.kind == "constant"
    ]


def _loaded(handle: Frozen) -> held.Loaded:
    return held.load(handle.token, handle.nbytes, repr(handle.name))


def _written(trace: TracebackType | None) -> set[str]:
    """Return the tokens of the inputs that the innermost frame knows arrays of."""
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        tokens: set[str] = set()
        for value in list(frame.f_locals.values()):
            for array in _arrays_in(value):
                tokens |= held.inputs_around(array)
        if tokens:
            return tokens
    return set()


def _arrays_in(value: Any) -> list[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        return [] if value.flags.writeable else [value]
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = list(value.values())[:100]
    elif isinstance(value, list | tuple):
        inner = value[:100]
    elif hasattr(value, "__dict__"):  # a table, a sparse matrix, a labelled array
        inner = [getattr(value, "values", None), *list(vars(value).values())[:20]]
    return [each for each in inner if isinstance(each, np.ndarray) and not each.flags.writeable]


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names))
