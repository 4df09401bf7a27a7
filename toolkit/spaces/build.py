"""Columns and dims from what the user wrote."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.errors import SpaceError
from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Column, Dim


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """An axis of repetitions, made by ``tk.replicates``."""

    n: int
    common: bool = False


def count(what: str, n: object) -> int:
    """Return a number of things, at least 1, or raise SpaceError."""
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)) or n < 1:
        raise SpaceError(f"{what} takes a whole number of at least 1, found {n!r}.")
    return int(n)


def merged(axes: Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Return axes given as one mapping and as keywords, in the order written."""
    if axes is not None and not isinstance(axes, Mapping):
        raise SpaceError(
            f"axes come as keywords or as one mapping, found {type(axes).__name__}.\n"
            "Write name=values, or {'name': values}."
        )
    twice = [name for name in keywords if axes is not None and name in axes]
    if twice:
        raise SpaceError(
            f"{_listed(twice)} is given twice, in the mapping and as a keyword. Keep one."
        )
    return {**(axes or {}), **keywords}


def axis(name: str, given: object) -> Dim:
    """Return the dim of one axis or constant of a grid."""
    lb.require_names([name])
    if isinstance(given, Replicates):
        return replicates_dim(name, given)
    if is_scalar(name, given):
        return constant(name, given)
    column = axis_column(name, given)
    return Dim(name=name, size=len(column), columns=(column,), kind="axis")


def replicates_dim(name: str, given: Replicates) -> Dim:
    """Return the dim of an axis of repetitions."""
    column = Column(name=name, labels=np.arange(given.n, dtype=np.int64))
    return Dim(name=name, size=given.n, columns=(column,), kind="replicates", common=given.common)


def constant(name: str, value: object, *, lenient: bool = False, required: bool = True) -> Dim:
    """Return the hidden dim of a constant.

    Parameters
    ----------
    name, value
        The parameter and its one value.
    lenient
        Whether any object will do, as for a function's own default.
    required
        Whether something must use it.
    """
    attrs = dict(getattr(value, "attrs", {})) if _is_array(value) else {}
    value = _unwrapped(value)
    labels, objects = lb.labelled([value])
    if lb.not_finite(labels).size:
        labels, objects = np.array([str(value)]), (value,)
    if objects is not None and lb.has_address(str(labels[0])):
        if not lenient:
            raise _unstable(name, str(labels[0]))
        labels = np.array([lb.without_address(str(labels[0]))])
    column = Column(name=name, labels=labels, objects=objects, attrs=attrs, required=required)
    return Dim(name=name, size=1, columns=(column,), kind="constant", hidden=True)


def axis_column(name: str, given: object) -> Column:
    """Return the column of an axis: its labels are finite and each stands once."""
    made = column(name, given)
    require_unique(name, made.labels)
    return made


def require_unique(name: str, labels: lb.Array) -> None:
    """Raise SpaceError where a label stands twice."""
    twice = lb.duplicates(labels)
    if twice:
        raise SpaceError(
            f"axis {name!r} has the label {_listed(twice)} more than once (floats within "
            "1e-12 are the same label).\n"
            "Keep one of each; for repetitions use tk.replicates(n)."
        )


def column(name: str, given: object) -> Column:
    """Return the column of some values: a list, range, 1-D array, DataArray or {label: object}."""
    attrs: Mapping[str, object] = {}
    objects: tuple[object, ...] | None
    if isinstance(given, Mapping):
        labels = lb.as_labels(list(given))
        objects = tuple(_unwrapped(value) for value in given.values())
        _require_labels(name, labels)
        return Column(name=name, labels=labels, objects=objects)
    _refuse_others(name, given)
    if _is_array(given) and isinstance(getattr(given, "attrs", None), Mapping):
        attrs = {str(key): value for key, value in given.attrs.items()}  # type: ignore[attr-defined]
    if isinstance(given, (list, tuple)):
        _require_hashable(name, given)
    shape: tuple[int, ...] = tuple(getattr(given, "shape", ())) if _is_array(given) else ()
    if len(shape) > 1:
        raise SpaceError(
            f"axis {name!r} is an array of shape {shape}; an axis has one dimension.\n"
            f"Give each part a label, {name}={{label: array, ...}}, or make a Dataset and "
            "use tk.space(dataset, dims=...)."
        )
    labels, objects = lb.labelled(given)
    _require_labels(name, labels)
    if objects is not None:
        _require_finite(name, objects)
        unstable = next((str(label) for label in labels if lb.has_address(str(label))), None)
        if unstable is not None:
            raise _unstable(name, unstable)
    return Column(name=name, labels=labels, objects=objects, attrs=attrs)


def is_scalar(name: str, given: object) -> bool:
    """Whether a value is a constant: a scalar, a text, or one object that is no collection."""
    if _is_array(given):
        return np.ndim(given) == 0  # type: ignore[arg-type]
    if isinstance(given, (str, bytes)) or given is None:
        return True
    _refuse_others(name, given)
    return not isinstance(given, (Mapping, list, tuple, range))


def unknown(what: str, name: object, known: Iterable[str]) -> SpaceError:
    """Return the error for a name that is not known, with the nearest and all known ones."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return SpaceError(
        f"{what} {name!r} is not known.{hint}\nKnown are: {_listed(names) or 'none'}."
    )


def _refuse_others(name: str, given: object) -> None:
    if isinstance(given, (set, frozenset)):
        raise SpaceError(
            f"axis {name!r} is a set, which has no order.\nWrite {name}=sorted(...) or a list."
        )
    if isinstance(given, tuple) and not hasattr(given, "_fields"):
        raise SpaceError(
            f"axis {name!r} is a tuple, {given!r}: it could be a range or a set of values.\n"
            f"Write a list, {name}={list(given)!r}, for these values; ranges (low, high) are "
            "for tk.sample."
        )
    if isinstance(given, Iterator) or _is_view(given):
        raise SpaceError(
            f"axis {name!r} is a {type(given).__name__}, which can be read only once.\n"
            "Wrap it in a list: list(...)."
        )
    if isinstance(given, type):
        return
    if hasattr(given, "ppf") or type(given).__module__ == "toolkit.spaces.distribution":
        raise SpaceError(
            f"axis {name!r} is {given!r}, a range to draw from; a grid needs its values.\n"
            f"Write {name}=[...], or use tk.sample(n, {name}=...)."
        )


def _is_view(given: object) -> bool:
    return type(given).__name__ in {
        "dict_keys",
        "dict_values",
        "dict_items",
        "map",
        "filter",
        "zip",
    }


def _is_array(given: object) -> bool:
    return hasattr(given, "__array__") and hasattr(given, "shape") and not isinstance(given, type)


def _unwrapped(value: Any) -> Any:
    """Return the scalar inside of an array without dims."""
    if _is_array(value) and not isinstance(value, np.generic) and np.ndim(value) == 0:
        array = np.asarray(value)
        return array[()] if array.dtype.kind in "mM" else array.item()
    return value


def _require_hashable(name: str, given: Iterable[object]) -> None:
    for value in given:
        try:
            hash(value)
        except TypeError:
            raise SpaceError(
                f"axis {name!r} holds a {type(value).__name__}, which cannot be a label.\n"
                f"Give each value a label: {name}={{label: value, ...}}."
            ) from None


def _require_labels(name: str, labels: lb.Array) -> None:
    if labels.size == 0:
        raise SpaceError(f"axis {name!r} is empty.\nGive it at least one value, or leave it out.")
    bad = lb.not_finite(labels)
    if bad.size:
        raise SpaceError(
            f"axis {name!r} has the non-finite value {labels[bad[0]]} at position {bad[0]} "
            f"({bad.size} of {labels.size} values).\n"
            f"Remove it, or give it a label: {name}={{'none': None, ...}}."
        )


def _require_finite(name: str, objects: Iterable[object]) -> None:
    for at, value in enumerate(objects):
        missing = type(value).__name__ in {"NAType", "NaTType"}
        if missing or (isinstance(value, float) and not np.isfinite(value)):
            raise SpaceError(
                f"axis {name!r} has the non-finite value {value} at position {at}.\n"
                "Remove it, or write None for a missing value."
            )


def _unstable(name: str, label: str) -> SpaceError:
    return SpaceError(
        f"{name!r} holds {label}, whose text changes with every process and cannot label it.\n"
        f"Give it a label: {name}={{'label': value}}."
    )


def _listed(values: Iterable[object]) -> str:
    return ", ".join(repr(value) for value in values)
