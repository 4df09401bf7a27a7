"""The outputs in pictures: heat maps, lines and scatters, with what they show in words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.stores.files.checking import readable
from toolkit.views.plots.labels import spreads_by_magnitude
from toolkit.views.report.cells import MOST_ALONG, MOST_POINTS, CellsShown, Floats, cells_of
from toolkit.views.report.choices import Choice, choices, described, not_drawn
from toolkit.views.report.drawing import MISSING, Pictures, can_draw
from toolkit.views.report.elements import count, dim, figure, note, section, text
from toolkit.views.report.material import Material
from toolkit.views.report.points import draw_points, points_shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PICTURES = 12


def maps_section(material: Material, pictures: Pictures) -> str:
    """Return a picture of each output that is a number, with its caption."""
    wanted = [choice for stage in material.stages for choice in choices(stage)]
    parts = []
    if not any(_has_values(choice) for choice in wanted):
        parts.append(note("There is nothing to draw yet: no run has a value."))
    elif not can_draw():
        parts.append(note(text(MISSING)))
    else:
        drawn = "".join(_picture(each, pictures, material) for each in wanted[:MOST_PICTURES])
        parts.append(f'<div class="pictures">{drawn}</div>')
        left = ", ".join(_name(each, material) for each in wanted[MOST_PICTURES:])
        if left:
            parts.append(note(f"Left out after {MOST_PICTURES} pictures: {text(left)}."))
    parts += [note(dim(words)) for words in _words(material)]
    return section("Results", *parts)


def _has_values(choice: Choice) -> bool:
    return bool(np.isin(choice.stage.status, (Status.DONE, Status.STALE)).any())


def _words(material: Material) -> Iterator[str]:
    others = [f"{name} ({what})" for stage in material.stages for name, what in not_drawn(stage)]
    if others:
        yield f"Outputs that are no numbers and so have no picture: {', '.join(others[:50])}."
    for stage in material.stages:
        if stage.unreadable:
            yield f"The outputs of {stage.name} could not be read: {stage.unreadable}"


def _picture(choice: Choice, pictures: Pictures, material: Material) -> str:
    title = _name(choice, material)
    try:
        with readable(material.path):
            svg, said = (_scatter if choice.kind == "scatter" else _cells)(choice, pictures)
    except ToolkitError as error:
        return figure("", f"<b>{text(title)}</b> could not be drawn: {text(error, 500)}")
    long_name, units = described(choice.output.attrs, choice.name)
    named = f"<b>{text(title)}</b>"
    if long_name != choice.name:
        named += f", {text(long_name, 120)}"
    if units:
        named += f" ({text(units, 60)})"
    return figure(svg, f"{named}{said}")


def _name(choice: Choice, material: Material) -> str:
    return f"{choice.stage.name}: {choice.name}" if len(material.stages) > 1 else choice.name


def _cells(choice: Choice, pictures: Pictures) -> tuple[str, str]:
    from toolkit.views.plots.lines import line
    from toolkit.views.plots.maps import map as draw_map

    is_map = choice.kind == "map"
    shown = cells_of(choice, MOST_ALONG if is_map else MOST_POINTS)
    there = shown.values.values[np.isfinite(shown.values.values)]
    if not there.size:
        return "", f" has no value that could be drawn over {text(', '.join(choice.dims))}."
    is_log = _is_log(there)
    with pictures.axes() as (axes, picture):
        if is_map:
            draw_map(shown.values, x="dim_1", y="dim_0", ax=axes, **_scale(there, is_log))
            _frame(axes)
        else:
            line(shown.values, x="dim_0", ax=axes, logy=is_log, rasterized=there.size > 1000)
            _band(axes, shown)
    said = _caption(choice, shown, is_log=is_log)
    return picture.svg(f"{choice.name} over {' and '.join(choice.dims)}"), said


def _is_log(there: Floats) -> bool:
    """Whether values are told apart by magnitude only."""
    return bool(there.min() > 0 and there.max() >= 300 * there.min()) and spreads_by_magnitude(
        there
    )


def _scale(there: Floats, is_log: bool) -> dict[str, Any]:
    if not is_log:
        return {}
    from matplotlib.colors import LogNorm

    return {"norm": LogNorm(float(there.min()), float(there.max()))}


def _frame(axes: "Axes") -> None:
    """Draw all four edges of a map: where its cells are blank, they show where it ends."""
    for spine in axes.spines.values():
        spine.set_visible(True)


def _band(axes: "Axes", shown: CellsShown) -> None:
    if shown.spread is None or not axes.lines:
        return
    drawn = axes.lines[0]
    places: Any = drawn.get_xdata(orig=True)
    middle = shown.values.values
    if len(places) != len(middle):
        return
    lows, highs = middle - shown.spread, middle + shown.spread
    if axes.get_yscale() == "log":
        lows = np.maximum(lows, middle / 1e3)
    axes.fill_between(places, lows, highs, color=drawn.get_color(), alpha=0.2, lw=0)


def _caption(choice: Choice, shown: CellsShown, *, is_log: bool) -> str:
    said = [f" over {' and '.join(text(each, 60) for each in choice.dims)}."]
    rest = [each for each in choice.rest if choice.output.sizes[each] > 1]
    if rest:
        over = ", ".join(f"{text(each, 60)} ({choice.output.sizes[each]:,})" for each in rest)
        said.append(f"Mean over {over}.")
        if choice.kind == "line" and shown.spread is not None and np.nanmax(shown.spread) > 0:
            said.append("The band is one standard deviation to either side.")
    if is_log:
        said.append("Colors by magnitude." if choice.kind == "map" else "Drawn by magnitude.")
    said += list(_blank(shown))
    if shown.thinned:
        steps = ", ".join(f"{step:,} of {text(each, 60)}" for each, step in shown.thinned.items())
        said.append(f"Only one label out of {steps} was read.")
    if shown.blocks:
        sizes = " × ".join(f"{shown.blocks.get(each, 1):,}" for each in choice.dims)
        names = " × ".join(text(each, 60) for each in choice.dims)
        said.append(f"Drawn as means of blocks of {sizes} cells ({names}).")
    if shown.not_finite:
        said.append(f"{count(shown.not_finite, 'infinite value')} left out.")
    return " ".join(said)


def _blank(shown: CellsShown) -> Iterator[str]:
    status = shown.values.coords["status"].values
    blank = int(np.isnan(shown.values.values).sum())
    failed = int((status == Status.FAILED).sum())
    blocked = int((status == Status.BLOCKED).sum())
    what = "cell" if shown.values.ndim == 2 else "label"
    if failed:
        yield f"Crosses: {count(failed, what)} of which no run is done and some failed."
    if blocked:
        yield f"Dashes: {count(blocked, what)} that wait for a failed run."
    if blank - failed - blocked:
        yield f"Blank: {count(blank - failed - blocked, what)} without a value."


def _scatter(choice: Choice, pictures: Pictures) -> tuple[str, str]:
    shown = points_shown(choice)
    if shown is None:
        return "", f" has no value that could be drawn over {text(', '.join(choice.dims))}."
    with pictures.axes() as (axes, picture):
        draw_points(axes, shown)
    rest = [each for each in choice.rest if choice.output.sizes[each] > 1]
    said = [f" over {' and '.join(text(each, 60) for each in shown.names)}."]
    left = len(choice.parameters) - len(shown.names)
    if left > 0:
        said.append(f"These tell most of it; {count(left, 'further parameter')} not shown.")
    if rest:
        over = ", ".join(f"{text(each, 60)} ({choice.output.sizes[each]:,})" for each in rest)
        said.append(f"Mean over {over}.")
    if shown.is_log:
        said.append("Drawn by magnitude." if len(shown.names) == 1 else "Colors by magnitude.")
    if shown.failed:
        said.append(f"Crosses: {count(shown.failed, 'failed run')}.")
    if shown.left_out:
        said.append(f"{shown.drawn:,} of {count(shown.drawn + shown.left_out, 'point')} drawn.")
    if shown.not_finite:
        said.append(f"{count(shown.not_finite, 'infinite value')} left out.")
    return picture.svg(f"{choice.name} over {' and '.join(shown.names)}"), " ".join(said)
