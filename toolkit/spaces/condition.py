"""Conditions on a space: which points run, and where a parameter matters."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError
from toolkit.spaces.axis import Column, Dim, Field
from toolkit.spaces.build import unknown
from toolkit.spaces.points import Points

Mask: TypeAlias = npt.NDArray[np.bool_]

_MOST_CELLS = 2**30


@dataclass(frozen=True, kw_only=True, eq=False)
class Condition:
    """What a function of parameters said about the points of a space.

    Parameters
    ----------
    function
        Called again when the space is extended, and only then.
    parameter
        The parameter that matters only where the function is true; None: only those points run.
    arguments
        Parameters that the function takes.
    dims
        The dims that these lie along, in the order of the space.
    mask
        The answers, one dimension per dim in ``dims``.
    """

    function: Callable[..., Any]
    parameter: str | None
    arguments: tuple[str, ...]
    dims: tuple[str, ...]
    mask: Mask

    @property
    def title(self) -> str:
        """How the condition reads in a listing."""
        over = ", ".join(self.arguments)
        return f"where({over})" if self.parameter is None else f"{self.parameter} when({over})"

    def take(self, dim: str, positions: npt.NDArray[np.int64]) -> "Condition":
        """Return the condition at some positions along a dim."""
        if dim not in self.dims:
            return self
        return replace(self, mask=self.mask.take(positions, axis=self.dims.index(dim)))


def evaluate(
    function: Callable[..., Any],
    parameter: str | None,
    dims: Sequence[Dim],
    fields: Sequence[Field],
) -> Condition:
    """Return a condition, its function called once with arrays.

    Raises
    ------
    SpaceError
        The function takes an unknown name, fails on arrays, or returns something else than
        True and False over the dims of its arguments.
    """
    verb = "where" if parameter is None else f"when({parameter}=...)"
    if not callable(function):
        raise SpaceError(
            f"{verb} takes a function of parameters, found {type(function).__name__}.\n"
            "Write lambda beta, gamma: beta > gamma."
        )
    names = _arguments(function, verb, dims, fields)
    needed = [
        dim for dim in dims if any(dim.name in _dims_of(name, dims, fields) for name in names)
    ]
    order = tuple(dim.name for dim in needed)
    shape = tuple(dim.size for dim in needed)
    arrays = {name: _argument(name, order, dims, fields) for name in names}
    mask = _answer(function, verb, arrays, shape)
    return Condition(function=function, parameter=parameter, arguments=names, dims=order, mask=mask)


def points(dims: Sequence[Dim], conditions: Sequence[Condition]) -> Points:
    """Return the runs of the product of some dims under some conditions."""
    shape = tuple(dim.size for dim in dims)
    if not conditions:
        return Points(shape)
    if math.prod(shape) > _MOST_CELLS:
        raise SpaceError(
            f"where and when look at every point, and this space has {math.prod(shape):.3g} "
            f"(at most {_MOST_CELLS:.3g}).\nLeave labels out, or draw points by tk.sample."
        )
    kept = _kept(dims, conditions)
    active = _active(dims, conditions)
    if not active:
        return Points(shape, np.flatnonzero(kept))
    # Cells that differ only in parameters that do not matter share the first of them.
    strides = [math.prod(shape[number + 1 :]) for number in range(len(shape))]
    first = np.zeros((1,) * len(shape), dtype=np.int64)
    for number, size in enumerate(shape):
        steps = _along(np.arange(size, dtype=np.int64) * strides[number], number, len(shape))
        first = first + (np.where(active[number], steps, 0) if number in active else steps)
    # A run exists if any of the cells that it stands for is kept.
    first = np.broadcast_to(first, shape).ravel()
    stands = np.zeros(math.prod(shape), dtype=bool)
    stands[first[kept]] = True
    cells = np.flatnonzero(stands)
    owners = np.where(kept, (np.cumsum(stands) - 1)[first], -1)
    inactive = {number: ~np.broadcast_to(on, shape).ravel()[cells] for number, on in active.items()}
    return Points(shape, cells, inactive, owners)


def require_own_dim(name: str, dims: Sequence[Dim], fields: Sequence[Field]) -> None:
    """Raise SpaceError unless a parameter has a dim of its own."""
    known = [column.name for dim in dims for column in dim.columns] + [
        field.name for field in fields
    ]
    if name not in known:
        raise unknown("when: the parameter", name, known)
    dim = next((dim for dim in dims if dim.name == name and dim.kind != "rows"), None)
    over = [field.name for field in fields if name in field.dims]
    if dim is None or over:
        where = ", ".join(_dims_of(name, dims, fields))
        why = (
            f"{', '.join(over)} lies along it"
            if over
            else f"it varies together with others along {where!r}"
        )
        raise SpaceError(
            f"when({name}=...) needs a parameter with a dim of its own, but {why}.\n"
            "Give it an axis of its own, or leave points out by where."
        )


def _active(dims: Sequence[Dim], conditions: Sequence[Condition]) -> dict[int, Mask]:
    """Return where parameters matter, by number of their dim, broadcastable to the space."""
    names = [dim.name for dim in dims]
    whens: dict[str, list[Condition]] = {}
    for condition in conditions:
        if condition.parameter is not None:
            whens.setdefault(condition.parameter, []).append(condition)
    found: dict[str, Mask] = {}

    def resolve(parameter: str, asked: tuple[str, ...]) -> Mask:
        if parameter in asked:
            raise SpaceError(
                f"when: {' depends on '.join([*asked, parameter])}, which has no end.\n"
                "Leave one of the conditions out."
            )
        if parameter not in found:
            mask = np.ones((1,) * len(dims), dtype=bool)
            for condition in whens[parameter]:
                mask = mask & _spread(condition, names)
                # What depends on a parameter that does not matter does not matter either.
                for argument in condition.arguments:
                    if argument in whens:
                        mask = mask & resolve(argument, (*asked, parameter))
            found[parameter] = mask
        return found[parameter]

    return {names.index(parameter): resolve(parameter, ()) for parameter in whens}


def _kept(dims: Sequence[Dim], conditions: Sequence[Condition]) -> Mask:
    names = [dim.name for dim in dims]
    shape = tuple(dim.size for dim in dims)
    kept = np.ones((1,) * len(dims), dtype=bool)
    for condition in conditions:
        if condition.parameter is None:
            kept = kept & _spread(condition, names)
    return np.broadcast_to(kept, shape).ravel()


def _spread(condition: Condition, names: Sequence[str]) -> Mask:
    at = {
        names.index(dim): size
        for dim, size in zip(condition.dims, condition.mask.shape, strict=True)
    }
    return condition.mask.reshape([at.get(number, 1) for number in range(len(names))])


def _along(values: npt.NDArray[Any], number: int, total: int) -> npt.NDArray[Any]:
    return values.reshape([-1 if at == number else 1 for at in range(total)])


def _dims_of(name: str, dims: Sequence[Dim], fields: Sequence[Field]) -> tuple[str, ...]:
    for dim in dims:
        if any(column.name == name for column in dim.columns):
            return (dim.name,)
    return next(field.dims for field in fields if field.name == name)


def _arguments(
    function: Callable[..., Any], verb: str, dims: Sequence[Dim], fields: Sequence[Field]
) -> tuple[str, ...]:
    known = [column.name for dim in dims for column in dim.columns] + [
        field.name for field in fields
    ]
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        raise SpaceError(
            f"{verb}: the arguments of {function!r} cannot be read.\n"
            "Wrap it: lambda beta: function(beta)."
        ) from None
    names = []
    for name, argument in signature.parameters.items():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if name in known:
            names.append(name)
        elif argument.default is argument.empty:
            raise unknown(f"{verb}: the argument", name, known)
    return tuple(names)


def _argument(
    name: str, order: Sequence[str], dims: Sequence[Dim], fields: Sequence[Field]
) -> npt.NDArray[Any]:
    for dim in dims:
        for column in dim.columns:
            if column.name == name:
                return _along(_as_written(column), order.index(dim.name), len(order))
    field = next(field for field in fields if field.name == name)
    if field.inner:
        raise SpaceError(
            f"{name!r} cannot be part of a condition: each of its values has the dims "
            f"{', '.join(field.inner)}.\n"
            "Add a parameter with one number per point, and use that."
        )
    data = field.data.transpose(*(dim for dim in order if dim in field.dims))
    return np.asarray(data.values).reshape(
        [data.sizes[dim] if dim in field.dims else 1 for dim in order]
    )


def _as_written(column: Column) -> npt.NDArray[Any]:
    """Return the values as the user wrote them: the items of a list, the labels of a mapping."""
    if column.objects is None or not column.is_written_out:
        return column.labels
    return column.array(np.arange(len(column)))


def _answer(
    function: Callable[..., Any],
    verb: str,
    arrays: Mapping[str, npt.NDArray[Any]],
    shape: tuple[int, ...],
) -> Mask:
    try:
        answer = _call(function, arrays)
    except Exception as error:
        hint = (
            "It is called once, with arrays: write & for and, | for or, ~ for not, with "
            "brackets around "
            "comparisons; np.isin(x, [...]) for in, np.where for if, and NumPy's functions "
            "for math's."
        )
        raise SpaceError(
            f"{verb}: the function raised {type(error).__name__}: {error}\n{hint}"
        ) from error
    mask = np.asarray(answer)
    if mask.dtype.kind == "O" and all(isinstance(item, (bool, np.bool_)) for item in mask.flat):
        mask = mask.astype(bool)
    if mask.dtype.kind != "b":
        raise SpaceError(
            f"{verb}: the function returned {mask.dtype} values, where True or False was "
            "expected.\n"
            "Return a comparison, such as beta > gamma."
        )
    try:
        return np.array(np.broadcast_to(mask, shape))
    except ValueError:
        raise SpaceError(
            f"{verb}: the function returned shape {mask.shape} for arguments of shape "
            f"{shape} together.\n"
            "Compare element by element; it is called once, with arrays."
        ) from None


def _call(function: Callable[..., Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    positional, keywords = [], {}
    parameters = inspect.signature(function).parameters
    skipped = False
    for name, argument in parameters.items():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
            continue
        if name not in arrays:
            skipped = True
        elif argument.kind is argument.POSITIONAL_ONLY and not skipped:
            positional.append(arrays[name])
        else:
            keywords[name] = arrays[name]
    return function(*positional, **keywords)
