"""What was varied: axes, their sizes and units, their labels folded."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.spaces.axis import Dim
from toolkit.spaces.labels import scalars
from toolkit.views.plain import printable
from toolkit.views.report.elements import (
    code,
    count,
    dim,
    folded,
    note,
    section,
    subheading,
    table,
    text,
)
from toolkit.views.report.material import Material, StageMaterial

_SHOWN = 6  # labels that stand in the table itself
_MOST = 1_000  # labels that unfold


def space_section(material: Material) -> str:
    """Return the parameters of each stage; stages over the same space share a table."""
    groups: list[tuple[list[str], str]] = []
    for stage in material.stages:
        body = _space(stage)
        if groups and groups[-1][1] == body:
            groups[-1][0].append(stage.name)
        else:
            groups.append(([stage.name], body))
    if not groups:
        return section("Space", note("No stage has run yet: its space is not known here."))
    parts = []
    for names, body in groups:
        named = ", ".join(names)
        parts += ([subheading(f"Stage {named}")] if len(groups) > 1 else []) + [body]
    return section("Space", *parts)


def _space(stage: StageMaterial) -> str:
    runs = int((stage.status != Status.SKIPPED).sum())
    left_out = len(stage.status) - runs
    seen = [each for each in stage.dims if not each.hidden]
    sizes = " × ".join(f"{text(each.name, 60)} {each.size:,}" for each in seen)
    said = count(runs, "run") + (f": {sizes}" if sizes else "")
    if left_out:
        said += f"; {left_out:,} of the cells are left out by the space"
    cells = math.prod(each.size for each in seen)
    if cells != runs + left_out:
        said += f"; {cells:,} cells, of which some share a run or have none"
    rows = [row for each in stage.dims for row in _dim(each)]
    rows += [
        [code(field.name, 80), dim(f"over {_over(stage, field.dims)}"), "", "", ""]
        for field in stage.fields
    ]
    heads = ["parameter", "kind", "labels", "unit", "values"]
    return note(said + ".") + table(heads, rows, numbers=("labels",))


def _over(stage: StageMaterial, numbers: tuple[int, ...]) -> str:
    return ", ".join(stage.dims[number].name for number in numbers) or "every run"


def _dim(given: Dim) -> Iterator[list[str]]:
    if given.kind == "rows" and given.label_column is None:
        yield [code(given.name, 80), dim("rows"), f"{given.size:,}", "", dim("numbered")]
    for column in given.columns:
        long_name = column.attrs.get("long_name")
        named = f"<br>{dim(long_name)}" if long_name else ""
        yield [
            code(column.name, 80) + named,
            dim(_kind(given, column.name)),
            f"{len(column.labels):,}",
            text(column.attrs.get("units") or "", 60),
            _labels(column.labels),
        ]


def _kind(given: Dim, name: str) -> str:
    if given.kind == "rows":
        return "rows" if name == given.name else f"along {given.name}"
    if given.kind == "replicates":
        return "replicates" + (", common streams" if given.common else "")
    return "constant" if given.kind == "constant" or given.hidden else "axis"


def _labels(labels: npt.NDArray[Any]) -> str:
    """Return labels in words: all of few, the span of many with the labels folded under it."""
    if len(labels) == 0:
        return dim("none")
    if len(labels) <= _SHOWN:
        return ", ".join(map(_word, _scalars(labels)))
    many = ", ".join(map(_word, _scalars(labels[:_MOST])))
    rest = f" … {len(labels) - _MOST:,} more" if len(labels) > _MOST else ""
    return folded(_span(labels), many + rest)


def _span(labels: npt.NDArray[Any]) -> str:
    if labels.dtype.kind in "iufmM" and not _is_missing(labels).all():
        there = labels[~_is_missing(labels)]
        low, high = (_word(each) for each in _scalars(np.array([there.min(), there.max()])))
        return f"{low} … {high}"
    first = ", ".join(map(_word, _scalars(labels[:3])))
    return f"{first}, … {_word(_scalars(labels[-1:])[0])}"


def _is_missing(labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    missing: npt.NDArray[np.bool_] = labels != labels
    return missing


def _scalars(labels: npt.NDArray[Any]) -> list[Any]:
    return list(scalars(labels))


def _word(label: Any) -> str:
    shown = f"{label:.6g}" if isinstance(label, float) else " ".join(printable(str(label)).split())
    if isinstance(label, np.datetime64):
        shown = shown.removesuffix("T00:00:00.000000000")
    return text(shown, 60)


def shown_labels(labels: Mapping[str, Any]) -> str:
    """Return the labels of one run, ``beta=0.3, model=svm``, as HTML."""
    parts = [f"{text(name, 60)}={_word(value)}" for name, value in list(labels.items())[:30]]
    return ", ".join(parts)
