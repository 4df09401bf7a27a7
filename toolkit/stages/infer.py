"""From what a function returns to named values that can be stored, nothing cut or guessed."""

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolkit.errors import StageError
from toolkit.stages.conform import conform
from toolkit.stages.leaves import Leaf, dump, read_leaf, to_nanoseconds
from toolkit.stages.output import (
    Declared,
    check_names,
    is_dataarray,
    is_dataframe,
    is_dataset,
    is_series,
    label_array,
    plain_attrs,
)
from toolkit.stages.schema import (
    Coord,
    Schema,
    SchemaMismatch,
    Variable,
    dtype_text,
)

_NOT_VALUES = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)


@dataclass
class Reading:
    """What one run returned, or ``n`` runs at once, in a form that can be stored.

    Parameters
    ----------
    schema
        Names, types and inner dims of this very result.
    data
        Per variable: numbers and dates of the inner shape; text as an object array; a 1-D array
        for ragged; the uint8 bytes of a pickle for objects. Read from a batch, fixed and text
        have a leading dim of length n, and the other two are lists of n arrays.
    """

    schema: Schema
    data: list[Any]


@dataclass(frozen=True)
class Rules:
    """What a result is held against.

    Parameters
    ----------
    stage
        Name of the stage; a bare value bears it.
    declared
        What the stage declares; None: everything is inferred.
    parameters
        Names that outputs may not have.
    over
        Dims that the stage takes whole.
    """

    stage: str
    declared: Declared | None = None
    parameters: frozenset[str] = frozenset()
    over: tuple[str, ...] = ()


@dataclass
class _Parts:
    values: dict[str, Any] = field(default_factory=dict)
    coords: dict[str, Coord] = field(default_factory=dict)
    attrs: dict[str, object] = field(default_factory=dict)
    objects: frozenset[str] = frozenset()  # declared as objects: whatever is inside stays there


def read_result(result: Any, rules: Rules, n: int | None = None) -> Reading:
    """Return a result by names, with its schema.

    Parameters
    ----------
    result
        What the function returned.
    rules
        Declared outputs and names that are taken.
    n
        None: the result of one run. Else of a vectorized batch of n runs, along the first dim.

    Raises
    ------
    StageError
        If it cannot be stored: None, a generator, a tuple without names, a reserved name; or
        does not fit what was declared.
    """
    if rules.declared is not None and not rules.declared.outputs:
        return Reading(Schema(attrs=rules.declared.attrs), [])
    parts = _name_values(result, rules)
    declared = {} if rules.declared is None else {o.name: o for o in rules.declared.outputs}
    if declared and sorted(declared) != sorted(parts.values):
        raise SchemaMismatch(
            f"Outputs have other names: declared {', '.join(declared)}; "
            f"returned {', '.join(parts.values) or 'none'}."
        )
    names = list(declared) or list(parts.values)
    variables, data = [], []
    for name in names:
        wanted = declared.get(name)
        if wanted is not None and wanted.kind == "object":
            leaf = Leaf("object", _dump_all(parts.values[name], n))
        else:
            leaf = read_leaf(name, parts.values[name], n)
            leaf = leaf if wanted is None else conform(name, leaf, wanted, n)
        _collect_coords(leaf, parts.values[name], parts.coords, n)
        variables.append(_variable(name, leaf, n))
        data.append(leaf.data)
        if (labels := _ragged_labels(leaf, parts.values[name], n)) is not None:
            variables.append(_variable(f"{name}_{variables[-1].dims[0]}", labels, n))
            data.append(labels.data)
    if rules.declared is not None:
        _declare_coords(parts.coords, rules.declared.coords)
        parts.attrs = {**parts.attrs, **rules.declared.attrs}
    schema = Schema(variables=tuple(variables), coords=parts.coords, attrs=parts.attrs)
    _check_sizes(schema)
    dims = [dim for variable in variables for dim in variable.dims]
    check_names(
        [v.name for v in variables],
        list(dict.fromkeys([*dims, *parts.coords])),
        rules.parameters,
        rules.over,
    )
    return Reading(schema, data)


def _name_values(result: Any, rules: Rules) -> _Parts:
    declared = rules.declared
    parts = _Parts(objects=frozenset() if declared is None else declared.objects)
    wanted = () if declared is None else declared.names
    if len(wanted) == 1 and wanted[0] in parts.objects and not _is_named(result, wanted[0]):
        parts.values[wanted[0]] = result
        return parts
    _refuse(result, f"Stage {rules.stage!r}")
    names = _names_within(result)
    if names is not None:
        _flatten("", result, names, parts)
        if not parts.values:
            raise StageError(
                f"Stage {rules.stage!r} returned an empty {type(result).__name__}. Return at "
                "least one value, or declare outputs='effects'."
            )
        return parts
    if isinstance(result, tuple) and not wanted:
        raise StageError(
            f"Stage {rules.stage!r} returned a tuple of {len(result)}, and its values have no "
            "names. Name them with outputs=[…], or return a dict."
        )
    if wanted and (isinstance(result, tuple) or (len(wanted) > 1 and _is_sequence(result))):
        if len(result) != len(wanted):
            raise SchemaMismatch(
                f"Stage {rules.stage!r} declares {len(wanted)} outputs ({', '.join(wanted)}) and "
                f"returned {len(result)} values."
            )
        pairs = dict(zip(wanted, result, strict=True))
    elif len(wanted) > 1:
        raise SchemaMismatch(
            f"Stage {rules.stage!r} declares {len(wanted)} outputs ({', '.join(wanted)}) and "
            f"returned one {type(result).__name__}. Return a tuple or a dict of them."
        )
    else:
        pairs = {wanted[0] if wanted else rules.stage: result}
    for name, value in pairs.items():
        _add(name, value, parts)
    return parts


def _names_within(value: Any) -> Mapping[str, Any] | None:
    """Return the named values inside of a value, or None if it is one value."""
    if is_dataset(value):
        return {str(name): array for name, array in value.data_vars.items()}
    if is_dataframe(value):
        return {str(name): value[name] for name in value.columns}
    if isinstance(value, Mapping):
        return value if all(isinstance(name, str) for name in value) else None
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    return None


def _flatten(prefix: str, value: Any, names: Mapping[str, Any], parts: _Parts) -> None:
    if is_dataset(value):
        if not prefix:
            parts.attrs.update(plain_attrs(value.attrs))
        for name, coord in value.coords.items():
            if coord.ndim:
                _add_coord(str(name), _read_coord(str(name), coord), parts.coords)
    for name, inner in names.items():
        _add(f"{prefix}{name}", inner, parts)


def _is_named(result: Any, name: str) -> bool:
    return isinstance(result, Mapping) and list(result) == [name]


def _add(name: str, value: Any, parts: _Parts) -> None:
    if name in parts.objects:
        parts.values[name] = value
        return
    within = _names_within(value)
    if within:
        _flatten(f"{name}.", value, within, parts)
        return
    _refuse(value, f"Output {name!r}")
    parts.values[name] = value


def _refuse(value: Any, what: str) -> None:
    if value is None:
        raise StageError(
            f"{what} returned None. Return a value (float('nan') for a missing number), or "
            "declare outputs='effects' for a function without results."
            if what.startswith("Stage")
            else f"{what} is None. Return float('nan') for a missing number, '' for missing text."
        )
    if isinstance(value, types.CoroutineType):
        value.close()  # else Python warns that nobody awaited it
    if isinstance(value, _NOT_VALUES) or (
        isinstance(value, Iterator) and not hasattr(value, "dtype")
    ):
        remedy = (
            "Return asyncio.run(…) of it from a plain function"
            if isinstance(value, types.CoroutineType)
            else "Return list(…) or np.fromiter(…) of it"
        )
        raise StageError(f"{what} is a {type(value).__name__}, not a value. {remedy}.")


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _variable(name: str, leaf: Leaf, n: int | None) -> Variable:
    if leaf.kind in ("object", "ragged"):
        dtype = ""
        if leaf.kind == "ragged":
            dtype = dtype_text(
                leaf.data[0].dtype if isinstance(leaf.data, list) else leaf.data.dtype
            )
        return Variable(
            name=name,
            kind=leaf.kind,
            dtype=dtype,
            dims=leaf.dims or () if leaf.kind == "ragged" else (),
            attrs=leaf.attrs,
        )
    shape = leaf.data.shape if n is None else leaf.data.shape[1:]
    dims = leaf.dims
    if dims is None:
        dims = tuple(f"{name}_dim{axis}" for axis in range(len(shape)))
    return Variable(
        name=name,
        kind=leaf.kind,
        dtype=dtype_text(leaf.data.dtype) if leaf.kind == "fixed" else "",
        dims=dims,
        shape=shape,
        attrs=leaf.attrs,
    )


def _ragged_labels(leaf: Leaf, value: Any, n: int | None) -> Leaf | None:
    """Return the labels along a ragged dim, which differ from run to run as its length does."""
    if leaf.kind != "ragged" or n is not None or not leaf.dims:
        return None
    if is_dataarray(value) and leaf.dims[0] in value.coords:
        labels = value.coords[leaf.dims[0]].values
    elif is_series(value) and value.index.name == leaf.dims[0]:
        labels = value.index.to_numpy()
    else:
        return None
    if labels.dtype.kind in "mM":
        labels = to_nanoseconds(leaf.dims[0], labels)
    if labels.dtype.kind not in "biufmM":
        raise StageError(
            f"Ragged dim {leaf.dims[0]!r} has labels that are no numbers or dates "
            f"({labels.dtype}). Drop them, or declare the output as object."
        )
    return Leaf("ragged", labels, leaf.dims)


def _dump_all(value: Any, n: int | None) -> Any:
    return dump(value) if n is None else [dump(item) for item in value]


def _collect_coords(leaf: Leaf, value: Any, coords: dict[str, Coord], n: int | None) -> None:
    if leaf.kind not in ("fixed", "text"):
        return
    if is_dataarray(value):
        lead = value.dims[0] if n is not None else None
        for label, coord in value.coords.items():
            if coord.ndim and lead not in coord.dims:
                _add_coord(str(label), _read_coord(str(label), coord), coords)
    elif is_series(value) and n is None and leaf.dims:
        labels = label_array(leaf.dims[0], value.index.to_numpy())
        _add_coord(leaf.dims[0], Coord(dims=leaf.dims, values=labels), coords)


def _read_coord(name: str, coord: Any) -> Coord:
    return Coord(
        dims=tuple(map(str, coord.dims)),
        values=label_array(name, coord.values),
        attrs=plain_attrs(coord.attrs),
    )


def _add_coord(name: str, coord: Coord, coords: dict[str, Coord]) -> None:
    known = coords.setdefault(name, coord)
    if known is not coord and known != coord:
        raise StageError(
            f"Coordinate {name!r} differs between the outputs of one run. Rename one of the dims."
        )


def _declare_coords(coords: dict[str, Coord], declared: Mapping[str, Coord]) -> None:
    for name, coord in declared.items():
        found = coords.get(name)
        if found is not None and (
            found.dims != coord.dims or not np.array_equal(found.values, coord.values)
        ):
            raise SchemaMismatch(
                f"Coordinate {name!r} was declared with other labels than were returned."
            )
        coords[name] = coord


def _check_sizes(schema: Schema) -> None:
    sizes: dict[str, tuple[int, str]] = {}
    lengths: list[tuple[str, Sequence[str], Sequence[int]]] = [
        *((v.name, v.dims, v.shape) for v in schema.variables if v.kind != "ragged"),
        *((name, coord.dims, coord.values.shape) for name, coord in schema.coords.items()),
    ]
    for owner, dims, shape in lengths:
        for dim, size in zip(dims, shape, strict=True):
            known, first = sizes.setdefault(dim, (size, owner))
            if known != size:
                raise SchemaMismatch(
                    f"Inner dim {dim!r} has {known} entries in {first!r} and {size} in {owner!r}. "
                    "Give the outputs dims of their own."
                )
