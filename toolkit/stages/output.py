"""What a stage declares to return: the words of ``outputs=`` and their meaning."""

import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.errors import StageError
from toolkit.stages.schema import RESERVED_NAMES, Array, Coord, Kind, dtype_text


@dataclass(frozen=True)
class Output:
    """One output in ``outputs=``, wherever a type or dims may stand.

    Parameters
    ----------
    dtype
        A Python or numpy type (``float``, ``"int32"``, ``str``, ``object``); None: as returned.
        A type without ``dims`` means one value a run.
    dims
        Inner dims, in the order of the array's axes; None: as returned.
    units, long_name, comment
        Stored as CF attributes; plots show them.
    coords
        Labels along the inner dims: ``{"time": [0, 1, 2]}``, ``{"name": (dims, labels)}``, or
        DataArrays.
    ragged
        The one dim differs in length from run to run; see ``tk.ragged``.
    """

    dtype: Any = None
    dims: str | Sequence[str] | None = None
    units: str | None = None
    long_name: str | None = None
    comment: str | None = None
    coords: Mapping[str, Any] | None = None
    ragged: bool = False


def ragged(
    dim: str,
    dtype: Any = None,
    *,
    units: str | None = None,
    long_name: str | None = None,
    comment: str | None = None,
) -> Output:
    """Declare a 1-D output whose length differs from run to run.

    Examples
    --------
    >>> ragged("spike", units="ms").dims
    ('spike',)
    """
    return Output(dtype, (dim,), units, long_name, comment, ragged=True)


@dataclass(frozen=True, kw_only=True)
class DeclaredOutput:
    """An output as declared, with what is left open as None."""

    name: str
    kind: Kind | None = None
    dtype: str | None = None
    dims: tuple[str, ...] | None = None
    shape: tuple[int, ...] | None = None
    attrs: Mapping[str, object] = field(default_factory=dict)

    @property
    def fixes_dtype(self) -> bool:
        """Whether a type was declared, so that values are cast to it and never widen it."""
        return self.dtype is not None


@dataclass(frozen=True, kw_only=True)
class Declared:
    """All outputs that a stage declares; none of them: it is run for its effects."""

    outputs: tuple[DeclaredOutput, ...] = ()
    coords: Mapping[str, Coord] = field(default_factory=dict)
    attrs: Mapping[str, object] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(output.name for output in self.outputs)

    @property
    def objects(self) -> frozenset[str]:
        """Names of the outputs that are objects, whatever these hold."""
        return frozenset(output.name for output in self.outputs if output.kind == "object")


def parse_outputs(outputs: Any) -> Declared | None:
    """Return what ``outputs=`` means; None where everything is left to inference.

    Raises
    ------
    StageError
        If the declaration has no meaning, or a name is reserved or given twice.
    """
    if outputs is None or isinstance(outputs, Declared):
        return outputs
    if isinstance(outputs, str):
        if outputs == "effects":
            return Declared()
        raise StageError(
            f"outputs={outputs!r} has no meaning. Write outputs='effects' for a function without "
            f"results, or outputs=[{outputs!r}] to name its result."
        )
    if is_dataset(outputs):
        return _from_dataset(outputs)
    if isinstance(outputs, Mapping):
        parsed = [_parse(_name(name), value) for name, value in outputs.items()]
        declared = Declared(
            outputs=tuple(output for output, _ in parsed), coords=_merge([c for _, c in parsed])
        )
    elif isinstance(outputs, Sequence):
        names = [_name(name) for name in outputs]
        declared = Declared(outputs=tuple(DeclaredOutput(name=name) for name in names))
    else:
        raise StageError(
            f"outputs= is a {type(outputs).__name__}. Write a list of names, a dict of types or "
            "dims, an xarray.Dataset like one run's, or 'effects'."
        )
    if not declared.outputs:
        raise StageError("outputs= names nothing. Write 'effects' for a function without results.")
    check_names(declared.names, _inner_dims(declared))
    return declared


def check_names(
    names: Sequence[str],
    dims: Sequence[str] = (),
    parameters: frozenset[str] = frozenset(),
    over: Sequence[str] = (),
) -> None:
    """Refuse names that outputs or inner dims may not have.

    Parameters
    ----------
    names
        Names of outputs.
    dims
        Inner dims and coordinates.
    parameters
        Names of parameters and dims of the space.
    over
        Dims that the stage takes whole: these may be inner dims of its outputs.

    Raises
    ------
    StageError
        If a name is empty, reserved, taken or used twice.
    """
    for name in names:
        if name in RESERVED_NAMES:
            raise StageError(
                f"Output {name!r} has a reserved name ({', '.join(sorted(RESERVED_NAMES))}). "
                "Give it another, with outputs= or in what the function returns."
            )
        if name in parameters:
            raise StageError(
                f"{name!r} is a parameter and an output. Give the output another name, with "
                "outputs= or in what the function returns."
            )
        if not name or "/" in name or name.startswith(("__", ".")):
            raise StageError(
                f"An output cannot be named {name!r}. Use a name without '/' that does not begin "
                "with '__' or '.'."
            )
        if name in dims:
            raise StageError(
                f"{name!r} is an output and an inner dim. If it labels the dim, give it once as a "
                "coordinate: return a DataArray, or declare tk.Output(coords=…)."
            )
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise StageError(f"Outputs have the same name: {', '.join(twice)}. Rename one.")
    for dim in dims:
        if dim in RESERVED_NAMES:
            raise StageError(f"Inner dim or coordinate {dim!r} has a reserved name. Rename it.")
        if dim in parameters and dim not in over:
            raise StageError(
                f"{dim!r} is a parameter and an inner dim or coordinate of an output. Rename the "
                f"inner one: .rename({dim}=…)."
            )


def is_dataset(value: object) -> bool:
    """Whether the value is an xarray.Dataset, told without importing xarray."""
    return _is_instance(value, "xarray", "Dataset")


def is_dataarray(value: object) -> bool:
    """Whether the value is an xarray.DataArray, told without importing xarray."""
    return _is_instance(value, "xarray", "DataArray")


def is_series(value: object) -> bool:
    """Whether the value is a pandas.Series, told without importing pandas."""
    return _is_instance(value, "pandas", "Series")


def is_dataframe(value: object) -> bool:
    """Whether the value is a pandas.DataFrame, told without importing pandas."""
    return _is_instance(value, "pandas", "DataFrame")


def plain_attrs(attrs: Mapping[Any, Any]) -> dict[str, object]:
    """Return attributes as JSON can hold them; what it cannot becomes text."""
    return {str(name): _plain(value) for name, value in attrs.items()}


def label_array(name: str, values: Any) -> Array:
    """Return inner labels as numbers, bools, dates (ns) or text.

    Raises
    ------
    StageError
        If they are something else.
    """
    array = np.asarray(values)
    if array.dtype.kind in "mM":
        return array.astype(f"{array.dtype.kind}8[ns]")
    if array.dtype.kind in "biufcU":
        return array
    if array.dtype.kind in "OT" and all(isinstance(label, str) for label in array.ravel()):
        return array.astype(str)
    raise StageError(
        f"Coordinate {name!r} has labels that cannot be stored ({array.dtype}). Use numbers, "
        "text or dates; for a MultiIndex, call .reset_index() first."
    )


def _parse(name: str, value: Any) -> tuple[DeclaredOutput, dict[str, Coord]]:
    if not isinstance(value, Output):
        is_dims = isinstance(value, list | tuple) and all(isinstance(dim, str) for dim in value)
        value = Output(dims=tuple(value)) if is_dims else Output(dtype=value)
    dims = (value.dims,) if isinstance(value.dims, str) else value.dims
    dims = None if dims is None else tuple(_name(dim) for dim in dims)
    kind, dtype = _parse_type(name, value.dtype)
    if value.ragged:
        if dims is None or len(dims) != 1 or kind in ("text", "object"):
            raise StageError(
                f"Output {name!r}: a ragged output has one dim and holds numbers, bools or dates. "
                "Declare other results as object."
            )
        kind = "ragged"
    elif dims is None and kind is not None:
        dims = ()
    texts = {"units": value.units, "long_name": value.long_name, "comment": value.comment}
    coords = {
        _name(label): _coord(label, given, dims or ())
        for label, given in (value.coords or {}).items()
    }
    output = DeclaredOutput(
        name=name,
        kind=kind,
        dtype=dtype,
        dims=dims,
        shape=() if dims == () else None,
        attrs={key: text for key, text in texts.items() if text is not None},
    )
    return output, coords


def _parse_type(name: str, given: Any) -> tuple[Kind | None, str | None]:
    if given is None:
        return None, None
    if given is str:
        return "text", ""
    if given is object:
        return "object", ""
    if given in (datetime.datetime, datetime.date):
        return "fixed", "<M8[ns]"
    if given is datetime.timedelta:
        return "fixed", "<m8[ns]"
    try:
        dtype = np.dtype(given)
    except TypeError:
        raise StageError(
            f"outputs={{{name!r}: {given!r}}} is no type. Write float, int, bool, str, complex, "
            f"object or a numpy type, ({name + '_dim'!r},) for dims, or tk.Output(…)."
        ) from None
    if dtype.kind in "UT":
        return "text", ""
    if dtype.kind in "mM":
        return "fixed", f"<{dtype.kind}8[ns]"
    if dtype.kind not in "biufc" or dtype.itemsize > 16 or dtype.char in "gG":
        return "object", ""
    return "fixed", dtype_text(dtype)


def _coord(name: str, given: Any, dims: tuple[str, ...]) -> Coord:
    attrs: Mapping[str, object] = {}
    if is_dataarray(given):
        own, values, attrs = tuple(map(str, given.dims)), given.values, plain_attrs(given.attrs)
    elif isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str | tuple):
        own, values = (given[0],) if isinstance(given[0], str) else given[0], given[1]
    else:
        own, values = (name,), given
    array = label_array(name, values)
    unknown = [dim for dim in own if dim not in dims]
    if unknown or array.ndim != len(own):
        raise StageError(
            f"Coordinate {name!r} lies along {own} and has shape {array.shape}; the output has "
            f"dims {dims}. Write {{name: (dims, labels)}} with dims of the output."
        )
    return Coord(dims=own, values=array, attrs=attrs)


def _from_dataset(dataset: Any) -> Declared:
    outputs = []
    for name, array in dataset.data_vars.items():
        kind, dtype = _parse_type(str(name), array.dtype)
        if array.dtype == object and all(isinstance(item, str) for item in array.values.ravel()):
            kind = "text"
        outputs.append(
            DeclaredOutput(
                name=_name(name),
                kind=kind,
                dtype=dtype,
                dims=tuple(map(str, array.dims)),
                shape=array.shape,
                attrs=plain_attrs(array.attrs),
            )
        )
    coords = {
        str(name): Coord(
            dims=tuple(map(str, coord.dims)),
            values=label_array(str(name), coord.values),
            attrs=plain_attrs(coord.attrs),
        )
        for name, coord in dataset.coords.items()
        if coord.ndim
    }
    declared = Declared(outputs=tuple(outputs), coords=coords, attrs=plain_attrs(dataset.attrs))
    if not outputs:
        raise StageError("outputs= is a Dataset without variables; these name the outputs.")
    check_names(declared.names, _inner_dims(declared))
    return declared


def _merge(parts: Sequence[Mapping[str, Coord]]) -> dict[str, Coord]:
    merged: dict[str, Coord] = {}
    for part in parts:
        for name, coord in part.items():
            if merged.setdefault(name, coord) != coord:
                raise StageError(f"Coordinate {name!r} is declared twice, with different labels.")
    return merged


def _inner_dims(declared: Declared) -> list[str]:
    dims = [dim for output in declared.outputs for dim in output.dims or ()]
    return list(dict.fromkeys([*dims, *declared.coords]))


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise StageError(f"outputs= has the name {name!r}. Names of outputs and dims are text.")
    return name


def _is_instance(value: object, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(value, kind)


def _plain(value: Any) -> object:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "biuf":
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return plain_attrs(value)
    return str(value)
