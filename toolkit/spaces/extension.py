"""More labels along the dims of a space."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError
from toolkit.spaces import build
from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Column, Dim, Field
from toolkit.spaces.rows import row_keys, rows_dim


def extended(
    dims: Sequence[Dim], fields: Sequence[Field], axes: Mapping[str, Any]
) -> tuple[Dim, ...]:
    """Return dims with more labels; dims without any new label are the same objects as before."""
    out = list(dims)
    for name, given in axes.items():
        number = _number(name, out, fields)
        over = [field.name for field in fields if name in field.dims]
        dim = out[number]
        grown = _rows(dim, given) if dim.kind == "rows" else _axis(dim, given)
        if over and grown is not dim:
            raise SpaceError(
                f"{name!r} cannot be extended: {', '.join(map(repr, over))} has no values "
                "for the new labels.\n"
                "Make the space again from a larger Dataset."
            )
        out[number] = grown
    return tuple(out)


def joined(known: Column, more: Column) -> tuple[Column, npt.NDArray[np.int64]]:
    """Return a column followed by what it lacks of another, and the positions of the other.

    Parameters
    ----------
    known, more
        Two columns of one parameter, each label once.

    Returns
    -------
    column, positions
        The known labels first and unchanged; where each label of ``more`` stands in it.
    """
    known, more = _alike(known, more)
    at = lb.match(known.labels, more.labels)
    new = np.flatnonzero(at < 0)
    if not new.size:
        return known, at
    at[new] = len(known) + np.arange(new.size)
    return appended(known, more.take(new)), at


def appended(known: Column, more: Column) -> Column:
    """Return a column followed by all labels of another."""
    known, more = _alike(known, more)
    objects = None
    if known.objects is not None and more.objects is not None:
        objects = known.objects + more.objects
    labels = np.concatenate([known.labels, more.labels])
    return replace(known, labels=labels, objects=objects, attrs={**more.attrs, **known.attrs})


def _axis(dim: Dim, given: Any) -> Dim:
    (known,) = dim.columns
    if isinstance(given, build.Replicates):
        if dim.kind == "replicates" and given.common != dim.common:
            raise SpaceError(
                f"{dim.name!r} has replicates with common={dim.common}; extend it by the same kind."
            )
        more = build.replicates_dim(dim.name, given).columns[0]
    elif dim.kind == "replicates":
        raise SpaceError(
            f"{dim.name!r} is an axis of {dim.size} replicates, found {type(given).__name__} "
            "to add.\n"
            f"Write the new total: extend({dim.name}=tk.replicates({2 * dim.size}))."
        )
    elif build.is_scalar(dim.name, given):
        more = build.constant(dim.name, given).columns[0]
    else:
        more = build.axis_column(dim.name, given)
    grown, _ = joined(known, more)
    if len(grown) == len(known):
        return dim
    grown = replace(grown, required=grown.required or dim.kind == "constant")
    repeated = isinstance(given, build.Replicates)
    return Dim(
        name=dim.name,
        size=len(grown),
        columns=(grown,),
        kind="replicates" if repeated else "axis",
        common=given.common if repeated else False,
    )


def _rows(dim: Dim, given: Any) -> Dim:
    more = _as_rows(dim, given)
    names = {column.name for column in dim.columns}
    found = {column.name for column in more.columns}
    if names != found:
        raise SpaceError(
            f"extend({dim.name}=...) needs whole rows with {', '.join(map(repr, sorted(names)))}, "
            f"found {', '.join(map(repr, sorted(found))) or 'none'}."
        )
    others = {column.name: column for column in more.columns}
    pairs = [_alike(column, others[column.name]) for column in dim.columns]
    there = replace(dim, columns=tuple(known for known, _ in pairs))
    coming = replace(more, columns=tuple(new for _, new in pairs))
    keys = set(row_keys(there))
    new = np.array(
        [at for at, key in enumerate(row_keys(coming)) if key not in keys], dtype=np.int64
    )
    if not new.size:
        return dim
    coming = coming.take(new)
    columns = [appended(a, b) for a, b in zip(there.columns, coming.columns, strict=True)]
    numbers = None
    if dim.label_column is None and dim.numbers is not None:
        numbers = np.concatenate([dim.numbers, dim.numbers.max() + 1 + np.arange(new.size)])
    return replace(rows_dim(dim.name, columns, numbers), copies=_copies(there, coming))


def _copies(known: Dim, more: Dim) -> npt.NDArray[np.int64] | None:
    """Return the numbers among equals that rows have already: a selection may lack the first."""
    parts = [np.zeros(d.size, np.int64) if d.copies is None else d.copies for d in (known, more)]
    both = np.concatenate(parts)
    return both if both.any() else None


def _as_rows(dim: Dim, given: Any) -> Dim:
    held = getattr(given, "dims", None)
    if isinstance(held, tuple) and held and all(isinstance(part, Dim) for part in held):
        if len(held) > 1 or held[0].name != dim.name or held[0].kind != "rows":
            raise SpaceError(
                f"extend({dim.name}=space) needs a space with the one dim {dim.name!r}."
            )
        return held[0]  # type: ignore[no-any-return]
    if hasattr(given, "columns") and hasattr(given, "items"):
        given = dict(given.items())
    if not isinstance(given, Mapping):
        names = ", ".join(f"{column.name!r}: [...]" for column in dim.columns)
        raise SpaceError(
            f"extend({dim.name}=...) takes whole rows, found {type(given).__name__}.\n"
            f"Write {dim.name}={{{names}}}."
        )
    columns = [
        build.column(name, [v] if build.is_scalar(name, v) else v) for name, v in given.items()
    ]
    if not columns:
        return replace(dim, size=0, columns=())
    return rows_dim(dim.name, columns)


def _alike(known: Column, more: Column) -> tuple[Column, Column]:
    """Return two columns with labels of one kind: two kinds become texts that stand for them."""
    one_kind = lb.kind_of(known.labels) == lb.kind_of(more.labels)
    if one_kind and known.objects is None and more.objects is None:
        return known, more
    known, more = _with_objects(known), _with_objects(more)
    return (known, more) if one_kind else (_in_text(known), _in_text(more))


def _with_objects(column: Column) -> Column:
    if column.objects is not None:
        return column
    return replace(column, objects=tuple(lb.scalars(column.labels)))


def _in_text(column: Column) -> Column:
    texts = [lb.text_label(label) for label in lb.scalars(column.labels)]
    return replace(column, labels=np.array(texts, dtype=np.str_))


def _number(name: str, dims: Sequence[Dim], fields: Sequence[Field]) -> int:
    for number, dim in enumerate(dims):
        if dim.name == name:
            return number
        if any(column.name == name for column in dim.columns):
            rows = ", ".join(f"{column.name!r}: [...]" for column in dim.columns)
            raise SpaceError(
                f"{name!r} varies together with others along {dim.name!r}.\n"
                f"Extend whole rows: extend({dim.name}={{{rows}}})."
            )
    if any(field.name == name for field in fields):
        raise SpaceError(
            f"{name!r} lies along several dims and cannot be extended; make the space again."
        )
    raise build.unknown("extend: the parameter", name, [dim.name for dim in dims])
