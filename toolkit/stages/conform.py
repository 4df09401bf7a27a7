"""Hold returned values against what their stage declares; a declared type is never widened."""

import pickle
from collections.abc import Sequence

import numpy as np

from toolkit.errors import StageError
from toolkit.stages.leaves import Leaf
from toolkit.stages.output import DeclaredOutput
from toolkit.stages.schema import (
    Array,
    Column,
    Schema,
    SchemaMismatch,
    dtype_label,
    dtype_text,
    exact,
)


def conform(name: str, leaf: Leaf, wanted: DeclaredOutput, n: int | None) -> Leaf:
    """Return a value with the declared type, dims and attributes.

    Raises
    ------
    SchemaMismatch
        If it does not fit; what was declared and what was returned are both named.
    """
    leaf.attrs = {**leaf.attrs, **wanted.attrs}
    if wanted.kind == "ragged":
        return _conform_ragged(name, leaf, wanted, n)
    if wanted.kind is not None and leaf.kind != wanted.kind:
        raise _undeclared(name, wanted, _describe(leaf))
    if leaf.kind == "object":
        return leaf
    shape = leaf.data.shape if n is None else leaf.data.shape[1:]
    if wanted.dims is not None:
        leaf = _conform_dims(name, leaf, wanted.dims, shape, n)
        shape = leaf.data.shape if n is None else leaf.data.shape[1:]
    if wanted.shape is not None and wanted.shape != shape:
        raise SchemaMismatch(
            f"Output {name!r} is declared with shape {wanted.shape} and has shape {shape}."
        )
    if wanted.dtype and leaf.kind == "fixed":
        leaf.data = _conform_dtype(name, leaf.data, wanted.dtype)
    return leaf


def conform_rows(
    arrays: Sequence[Array], schema: Schema, *, is_declared: bool
) -> tuple[list[Column], dict[int, StageError]]:
    """Return columns in the declared types, and by row the errors of values that do not fit.

    Parameters
    ----------
    arrays
        One per variable, shape ``(n_runs, *shape)``, in the types in which they were returned.
    schema
        Of the first of these runs.
    is_declared
        Whether the stage declares anything; else the arrays are returned as they are.
    """
    columns: list[Column] = []
    errors: dict[int, StageError] = {}
    for array, variable in zip(arrays, schema.variables, strict=True):
        if not is_declared or variable.kind != "fixed" or array.dtype == variable.dtype:
            columns.append(array)
            continue
        try:
            columns.append(_conform_dtype(variable.name, array, variable.dtype))
        except SchemaMismatch:
            column = np.zeros(array.shape, variable.dtype)
            for row, values in enumerate(array):
                try:
                    column[row] = _conform_dtype(variable.name, np.asarray(values), variable.dtype)
                except SchemaMismatch as error:
                    errors[row] = error
            columns.append(column)
    return columns, errors


def _conform_dims(
    name: str, leaf: Leaf, wanted: tuple[str, ...], shape: tuple[int, ...], n: int | None
) -> Leaf:
    if len(shape) != len(wanted):
        raise SchemaMismatch(
            f"Output {name!r} is declared over {wanted or 'no inner dim'} and has shape {shape}. "
            "Declare its dims: outputs={…: ('dim', …)}, or tk.Output(dtype, dims)."
        )
    if leaf.dims is not None and leaf.dims != wanted:
        if sorted(leaf.dims) != sorted(wanted):
            raise SchemaMismatch(
                f"Output {name!r} is declared over {wanted} and was returned over {leaf.dims}."
            )
        order = [leaf.dims.index(dim) for dim in wanted]
        axes = order if n is None else [0, *(axis + 1 for axis in order)]
        leaf.data = np.transpose(leaf.data, axes)
    leaf.dims = wanted
    return leaf


def _conform_dtype(name: str, values: Array, dtype: str) -> Array:
    have, want = values.dtype, np.dtype(dtype)
    if have == want or not values.size:
        return values.astype(want)
    widths = "iufc"
    kept = False
    if have.kind == "b" and want.kind in widths:
        kept = True
    elif (
        have.kind in widths
        and want.kind in widths
        and widths.find(have.kind) <= widths.find("u" if want.kind == "i" else want.kind)
    ):
        with np.errstate(over="ignore"):
            converted, rows = exact(values.reshape(1, -1), dtype)
        # A float declared shorter is rounded, as was asked for, but never becomes infinite.
        kept = bool(rows[0]) and bool((np.isfinite(converted) == np.isfinite(values.ravel())).all())
    if not kept:
        found = dtype_label(dtype_text(have))
        value = f" {values.item()!r}" if values.size == 1 else ""
        raise SchemaMismatch(
            f"Output {name!r} is declared {dtype_label(dtype)} and returned {found}{value}, which "
            "it cannot hold. Return the declared type, or declare a wider one."
        )
    return values.astype(want)


def _conform_ragged(name: str, leaf: Leaf, wanted: DeclaredOutput, n: int | None) -> Leaf:
    if n is not None:
        if leaf.kind == "object":
            rows = [np.asarray(pickle.loads(item.tobytes())) for item in leaf.data]
        else:
            rows = list(leaf.data)
    else:
        rows = [leaf.data] if leaf.kind == "fixed" else []
    if not rows or any(row.ndim != 1 or row.dtype.kind not in "biufcmM" for row in rows):
        raise _undeclared(name, wanted, _describe(leaf))
    if wanted.dtype:
        rows = [_conform_dtype(name, row, wanted.dtype) for row in rows]
    elif n is not None:
        common = np.result_type(*rows)
        rows = [row.astype(common) for row in rows]
    return Leaf("ragged", rows[0] if n is None else rows, wanted.dims, leaf.attrs)


def _describe(leaf: Leaf) -> str:
    if leaf.kind != "fixed":
        return {"text": "text", "object": "an object", "ragged": "ragged"}[leaf.kind]
    return f"{dtype_label(dtype_text(leaf.data.dtype))} of shape {leaf.data.shape}"


def _undeclared(name: str, wanted: DeclaredOutput, found: str) -> SchemaMismatch:
    what = dtype_label(wanted.dtype) if wanted.dtype else str(wanted.kind)
    if wanted.kind == "ragged":
        what = "ragged (1-D numbers, bools or dates)"
    return SchemaMismatch(
        f"Output {name!r} is declared {what} and returned {found}. "
        "Return the declared type, or change outputs=."
    )
