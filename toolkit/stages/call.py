"""How a stage's function is called: plain data that travels to the workers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from toolkit.errors import StageError
from toolkit.spaces.axis import INACTIVE
from toolkit.spaces.sliced import Sliced
from toolkit.stages.infer import Rules
from toolkit.stages.output import Declared
from toolkit.stages.schema import Array

Positions = tuple[npt.NDArray[np.int64], ...]


class Seeds(Protocol):
    """Where the randomness of runs comes from; see ``toolkit.spaces.seeds.Streams``."""

    def entropy(self, positions: Positions) -> npt.NDArray[np.uint64]: ...  # noqa: D102
    def run_seeds(self, positions: Positions) -> npt.NDArray[np.int64]: ...  # noqa: D102
    def rng(self, entropy: npt.NDArray[np.uint64]) -> np.random.Generator: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True)
class Argument:
    """One argument of the function and where its value comes from.

    Parameters
    ----------
    name
        What the function calls it.
    source
        The parameter, frozen input or output of another stage that it takes.
    kind
        ``"value"``: one a run. ``"constant"``: the same object for every run. ``"rng"`` and
        ``"run_seed"``: made for the run.
    by_keyword
        Whether it is passed by keyword.
    default
        Taken where the space says that the parameter does not matter, or where no value is given.
    has_default
        Whether the function has a default of its own.
    """

    name: str
    source: str
    kind: Literal["value", "constant", "rng", "run_seed"] = "value"
    by_keyword: bool = False
    default: object = None
    has_default: bool = False


@dataclass(frozen=True, kw_only=True)
class StageCall:
    """All that a worker needs to run a stage at any point.

    Parameters
    ----------
    name
        Name of the stage; a bare value is named after it.
    function
        The user's function.
    arguments
        In the order of the call: positional ones first.
    declared
        Declared outputs, or None to infer them.
    vectorized
        Whether the function takes a whole batch; ``"torch"``: it takes one run, under vmap.
    plain
        Arguments of a torch stage that arrive as Python ints and bools where they are that.
    constants
        Objects for arguments of kind ``"constant"``, by source.
    retry_on
        Qualified names of the exceptions that may be tried again.
    taken
        Names that outputs may not have: parameters and dims of the space.
    over
        Dims that the stage takes whole.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Argument, ...] = ()
    declared: Declared | None = None
    vectorized: bool | Literal["torch"] = False
    plain: frozenset[str] = frozenset()
    constants: Mapping[str, object] = field(default_factory=dict)
    retry_on: tuple[str, ...] = ()
    taken: frozenset[str] = frozenset()
    over: tuple[str, ...] = ()

    @property
    def rules(self) -> Rules:
        """What results are held against."""
        return Rules(self.name, self.declared, self.taken, self.over)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the values that a batch needs, each once."""
        values = (argument.source for argument in self.arguments if argument.kind == "value")
        return tuple(dict.fromkeys(values))

    def with_constants(self, constants: Mapping[str, object]) -> "StageCall":
        """Return the same call with the objects that every run shares."""
        return replace(self, constants={**self.constants, **constants})

    def positional_function(self) -> Callable[..., Any]:
        """Return a callable that takes all arguments by position, in the order listed."""
        names = [argument.name for argument in self.arguments if argument.by_keyword]
        if not names:
            return self.function
        function, first = self.function, len(self.arguments) - len(names)

        def by_keyword(*values: Any) -> Any:
            return function(*values[:first], **dict(zip(names, values[first:], strict=True)))

        return by_keyword

    def rows(
        self,
        values: Mapping[str, Sequence[Any]],
        n: int,
        streams: Seeds | None,
        positions: Positions | None,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the arguments of each run, in the order listed."""
        if not self.arguments:
            return iter(repeat((), n))
        may_be_inactive = positions is None or any((column < 0).any() for column in positions)
        columns: list[Iterable[Any]] = []
        for argument in self.arguments:
            if argument.kind == "rng":
                source = self._streams(streams, "rng")
                columns.append(map(source.rng, source.entropy(_known(positions))))
            elif argument.kind == "run_seed":
                seeds = self._streams(streams, "run_seed").run_seeds(_known(positions))
                columns.append(seeds.tolist())
            elif argument.kind == "constant" or argument.source not in values:
                columns.append(repeat(self._constant(argument), n))
            else:
                columns.append(_active(values[argument.source], argument, may_be_inactive))
        return zip(*columns, strict=True)

    def arrays(
        self,
        values: Mapping[str, Any],
        n: int,
        streams: Seeds | None,
        positions: Positions | None,
    ) -> list[Any]:
        """Return the arguments of a vectorized batch, arrays of shape ``(n_runs, …)``."""
        arrays: list[Any] = []
        for argument in self.arguments:
            if argument.kind == "run_seed":
                arrays.append(self._streams(streams, "run_seed").run_seeds(_known(positions)))
            elif argument.kind == "constant":
                arrays.append(self._constant(argument))
            elif argument.source not in values:
                arrays.append(_to_array([self._constant(argument)] * n))
            else:
                arrays.append(_to_array(_active(values[argument.source], argument, True)))
        return arrays

    def _constant(self, argument: Argument) -> object:
        if argument.source in self.constants:
            return self.constants[argument.source]
        if argument.has_default:
            return argument.default
        raise StageError(
            f"Stage {self.name!r} takes {argument.name!r}, and no value for "
            f"{argument.source!r} came with the batch."
        )

    def _streams(self, streams: Seeds | None, name: str) -> Seeds:
        if streams is None:
            raise StageError(f"Stage {self.name!r} takes {name}, and the batch has no streams.")
        return streams


def _known(positions: Positions | None) -> Positions:
    if positions is None:
        raise StageError("A batch whose stage takes rng or run_seed needs its positions.")
    return positions


def _active(values: Any, argument: Argument, may_be_inactive: bool) -> Any:
    """Return the values with the argument's default wherever the parameter does not matter."""
    if not may_be_inactive or (isinstance(values, np.ndarray) and values.dtype != object):
        return values
    if isinstance(values, Sliced):  # what is read when it is asked for matters in every run
        return values
    if type(INACTIVE) not in set(map(type, values)):
        return values
    return [argument.default if value is INACTIVE else value for value in values]


def _to_array(values: Any) -> Array:
    if isinstance(values, np.ndarray):
        return values
    if hasattr(values, "dims"):  # a DataArray with inner dims keeps its labels
        return values  # type: ignore[no-any-return]
    items = list(values)
    try:
        array = np.asarray(items)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.shape[:1] == (len(items),) and array.dtype.kind not in "OUS":
        return array
    if items and all(isinstance(item, str) for item in items):
        return np.array(items)
    objects = np.empty(len(items), dtype=object)
    objects[:] = items
    return objects
