"""On the driver: states and run times over two dims, as what a scheduler is sent."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.views.dashboard.board import View
from toolkit.views.picture import Along, Picture
from toolkit.views.pictures import Pictures

MOST_CELLS = 300
"""Along each side of a map."""

_MOST_VIEWS = 12
_MOST_DIMS = 6


def views_of(pictures: Pictures, stages: tuple[str, ...]) -> tuple[View, ...]:
    """Return over what the runs of each stage can be drawn, what says most first.

    Parameters
    ----------
    pictures
        Of the sweep.
    stages
        Names of those that are kept, in the order in which they run.
    """
    found: list[View] = []
    for stage in reversed(stages):
        found += dict.fromkeys(_views_of(pictures, stage, _output("status", stage, stages)))
    return tuple(found[:_MOST_VIEWS])


def draw_map(pictures: Pictures, view: View, stages: tuple[str, ...]) -> Mapping[str, Any]:
    """Return one map.

    Returns
    -------
    Mapping
        ``kind``: ``"map"``, or ``"points"`` where each run has labels of its own. ``shape``:
        cells upwards and across, 1 and the number of points. ``states``: the ``tk.Status`` of
        each cell, uint8, as bytes. ``seconds``: the wall time, float32, NaN where there is none,
        as bytes. ``x`` and ``y``: ``name``, ``title`` (with the unit), ``labels`` (a text for each
        cell) and, for points, ``at`` (float64 as bytes). ``y`` is None for runs along one dim.
        ``notes``: what a cell of states and one of run times stands for, where that is not one
        run.

    Raises
    ------
    ToolkitError
        If there is no such stage or dim.
    """
    stage, x, y = view
    most = (MOST_CELLS, MOST_CELLS)
    states, seconds = (
        pictures.draw(_output(name, stage, stages), x, y or None, most=most)
        for name in ("status", "seconds")
    )
    shape = list(states.values.shape)
    is_points = states.kind == "scatter"
    return {
        "kind": "points" if is_points else "map",
        "shape": shape,
        "states": _states(states).tobytes(),
        "seconds": seconds.values.astype(np.float32, copy=False).tobytes(),
        "x": _side(states.x, is_points),
        "y": None if states.y is None else _side(states.y, is_points),
        "notes": [states.note, seconds.note],
    }


def _views_of(pictures: Pictures, stage: str, output: str) -> Iterator[View]:
    dims = pictures.dims(output)
    x, y = pictures.default(output)
    if x is not None:
        yield stage, x, y or ""
    for is_whole in (True, False):
        names = [
            name
            for name, dim in dims.items()
            if dim.is_whole == is_whole and len(dim) > 1 and (is_whole or dim.is_number)
        ]
        for one, other in combinations(names[:_MOST_DIMS], 2):
            if {one, other} == {x, y}:
                continue
            try:
                pictures.draw(output, one, other, most=(1, 1))
            except ToolkitError:  # they lie along different dims
                continue
            yield stage, one, other


def _output(name: str, stage: str, stages: tuple[str, ...]) -> str:
    return name if len(stages) == 1 else f"{name}_{stage}"


def _states(picture: Picture) -> "np.ndarray[Any, Any]":
    values = picture.values
    return np.where(np.isnan(values), np.float32(Status.SKIPPED), values).astype(np.uint8)


def _side(side: Along, is_points: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": side.name,
        "title": side.title,
        "labels": side.words(),
        "each": side.each,
    }
    if is_points:
        found["at"] = _numbers(side).tobytes()
    return found


def _numbers(side: Along) -> "np.ndarray[Any, Any]":
    if side.is_number:
        return side.labels.astype(np.float64)
    words = side.words()
    at = {word: number for number, word in enumerate(dict.fromkeys(words))}
    return np.array([at[word] for word in words], np.float64)
