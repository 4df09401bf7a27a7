"""A sweep as HTML without scripts, which stays in the saved notebook."""

import base64
import struct
import zlib
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.run_status import Status
from toolkit.views.block import snapshot_html
from toolkit.views.picture import Along, Picture
from toolkit.views.snapshot import Snapshot
from toolkit.views.widget.colors import viridis

_WIDE, _TALL = 560, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 78, 10, 96, 48
_TICKS = 6

_FAILED = np.array([[0xD5, 0x5E, 0x00]], np.uint8)
_GRADED = np.concatenate(
    [viridis()[np.linspace(0, 255, 254).round().astype(int)], _FAILED, _FAILED]
)
"""By number: 254 colors from dark to light, that of failed runs, and none."""

_STATES = {
    Status.PENDING: "#9a9a9a",
    Status.DONE: "#0072b2",
    Status.FAILED: "#d55e00",
    Status.STALE: "#cc79a7",
    Status.BLOCKED: "#e69f00",
}

# Where the widget is alive it shows more than this, and this is hidden; where there is no kernel
# that knows the widget, JupyterLab says so in its place, and this is shown instead.
_STYLE = (
    "<style>"
    ".jp-OutputArea-child:has(.tk-widget) + .jp-OutputArea-child:has(.tk-still){display:none}"
    ".jp-OutputArea-child:has(+ .jp-OutputArea-child .tk-still)"
    ":not(:has(.tk-widget)){display:none}"
    "</style>"
)


def still_html(snapshot: Snapshot | None, picture: Picture | None, *, note: str = "") -> str:
    """Return how a sweep stands, and its picture, as HTML; empty but for its rules before that."""
    drawn = "" if picture is None or not picture.values.size else picture_svg(picture)
    told = "" if snapshot is None else snapshot_html(snapshot, note=note)
    return f"<div class='tk-still'>{_STYLE}{told}{drawn}</div>"


def picture_svg(picture: Picture) -> str:
    """Return a picture as SVG in the color of the text around it."""
    body: list[str] = []
    x_ends = _ends(picture.x)
    is_colored = picture.kind == "map" or picture.y is not None
    if picture.kind == "map" and picture.y is not None:
        y_ticks, y_title = _ticks(picture.y, _ends(picture.y)), picture.y.title
        body.append(_image(picture))
    else:
        side = picture.y
        low, high = _value_ends(picture)
        upward = _numbers(low, high) if side is None else _ticks(side, _ends(side))
        y_ticks, y_title = upward, picture.title if side is None else side.title
        body.append(_marks(picture, x_ends, (low, high)))
    body += [_frame(), *_across(_ticks(picture.x, x_ends), picture.x.title)]
    body += _upward(y_ticks, y_title)
    if is_colored:
        body += _states(picture) if picture.words else _scale(picture)
    width, height = _LEFT + _WIDE + _RIGHT, _TOP + _TALL + _BOTTOM
    caption = " · ".join(filter(None, [picture.title, picture.note]))
    legend = escape(caption)
    if picture.failed is not None:
        legend += f" · <span style='color:#d55e00'>■</span> {picture.n_failed:,} failed"
    return (
        f"<figure style='margin:8px 0;max-width:{width}px'>"
        f"<svg viewBox='0 0 {width} {height}' width='100%' role='img' "
        f"aria-label='{escape(caption, quote=True)}' font-size='12' "
        f"font-family='sans-serif' fill='currentColor'>{''.join(body)}</svg>"
        f"<figcaption>{legend}</figcaption></figure>"
    )


def png(index: npt.NDArray[np.uint8], colors: npt.NDArray[np.uint8]) -> bytes:
    """Return an image of 256 colors as a PNG; the last of them is none.

    Parameters
    ----------
    index
        Which color each pixel has, shape ``(ny, nx)``, the first row at the top.
    colors
        Shape ``(256, 3)``.
    """
    tall, wide = index.shape
    rows = np.concatenate([np.zeros((tall, 1), np.uint8), index], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", wide, tall, 8, 3, 0, 0, 0)),
        (b"PLTE", colors.tobytes()),
        (b"tRNS", 255 * b"\xff" + b"\0"),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    )
    found = b"\x89PNG\r\n\x1a\n"
    for kind, data in parts:
        found += struct.pack(">I", len(data)) + kind + data
        found += struct.pack(">I", zlib.crc32(kind + data))
    return found


def colored(picture: Picture) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return the number of the color of each value, 255 where there is none, and the colors."""
    values = picture.values
    there = ~np.isnan(values)
    if picture.words:
        colors = np.zeros((256, 3), np.uint8)
        for status, color in _STATES.items():
            colors[status] = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
        index = np.where(there, values, 255).astype(np.uint8)
        return index, colors
    low, high = picture.low or 0.0, picture.high or 0.0
    if high > low:
        share = np.subtract(values, low, dtype=np.float64)
        with np.errstate(invalid="ignore"):  # what is missing
            share *= 253 / (high - low)
            index = np.clip(np.rint(share), 0, 253).astype(np.uint8)
    else:
        index = np.full(values.shape, 126, np.uint8)
    np.copyto(index, 255, where=~there)
    if picture.failed is not None:
        index[picture.failed] = 254
    return index, _GRADED


def _places(side: Along) -> npt.NDArray[np.float64]:
    """Return where labels stand: numbers as they are or by magnitude, others by their order."""
    kind = side.labels.dtype.kind
    if kind == "M":
        return side.labels.astype("datetime64[s]").astype(np.float64)
    if not side.is_number or len(side) == 1:
        return np.arange(len(side), dtype=np.float64)
    numbers = side.labels.astype(np.float64)
    return np.log10(numbers) if side.is_log else numbers


def _edges(side: Along) -> npt.NDArray[np.float64]:
    at = _places(side)
    if len(at) == 1:
        return np.array([at[0] - 0.5, at[0] + 0.5])
    middle = (at[1:] + at[:-1]) / 2
    return np.concatenate([[2 * at[0] - middle[0]], middle, [2 * at[-1] - middle[-1]]])


def _ends(side: Along) -> tuple[float, float]:
    if not side.is_whole:  # points, in any order
        at = _places(side)
        low, high = float(np.nanmin(at)), float(np.nanmax(at))
        air = 0.03 * (high - low) or 0.5
        return low - air, high + air
    edges = _edges(side)
    return float(edges[0]), float(edges[-1])


def _image(picture: Picture) -> str:
    """Return the map as an image, its cells resampled to where their labels lie."""
    assert picture.y is not None
    columns = _nearest(picture.x, _WIDE)
    rows = _nearest(picture.y, _TALL)[::-1]
    index, colors = colored(picture)
    data = base64.b64encode(png(index[rows][:, columns], colors)).decode()
    return (
        f"<image x='{_LEFT}' y='{_TOP}' width='{_WIDE}' height='{_TALL}' "
        f"preserveAspectRatio='none' style='image-rendering:pixelated' "
        f"href='data:image/png;base64,{data}'/>"
    )


def _nearest(side: Along, pixels: int) -> npt.NDArray[np.int64]:
    edges = _edges(side)
    at = edges[0] + (np.arange(pixels) + 0.5) / pixels * (edges[-1] - edges[0])
    cells = np.searchsorted(edges, at, side="right") - 1
    found: npt.NDArray[np.int64] = np.clip(cells, 0, len(side) - 1)
    return found


def _marks(picture: Picture, x_ends: tuple[float, float], ends: tuple[float, float]) -> str:
    xs = _LEFT + (_places(picture.x) - x_ends[0]) / (x_ends[1] - x_ends[0]) * _WIDE
    if picture.kind == "scatter":
        step = -(-len(xs) // 3000)
        index, colors = colored(picture)
        if picture.y is None:
            ys = _height(picture.values[0], ends)
        else:
            ys = _height(_places(picture.y), _ends(picture.y))
        fills = [
            "#0072b2" if picture.y is None else f"#{bytes(colors[at]).hex()}" for at in index[0]
        ]
        if picture.y is None and picture.failed is not None:  # they have no height: at the floor
            ys = np.where(picture.failed[0], _TOP + _TALL, ys)
            fills = [
                "#d55e00" if at == 254 else fill for fill, at in zip(fills, index[0], strict=True)
            ]
        return "".join(
            f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{fill}'/>"
            for x, y, fill, at in list(zip(xs, ys, fills, index[0], strict=True))[::step]
            if at != 255
        )
    ys = _height(picture.values[0], ends)
    found = ""
    if picture.band is not None:
        there = ~np.isnan(picture.band).any(axis=0)
        upper = zip(xs[there], _height(picture.band[1], ends)[there], strict=True)
        lower = zip(xs[there], _height(picture.band[0], ends)[there], strict=True)
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*upper, *list(lower)[::-1]])
        found = f"<polygon points='{corners}' fill='#0072b2' fill-opacity='.18'/>"
    if picture.failed is not None:
        found += "".join(
            f"<rect x='{x - 2.5:.1f}' y='{_TOP + _TALL - 5}' width='5' height='5' fill='#d55e00'/>"
            for x in xs[picture.failed[0]]
        )
    there = ~np.isnan(ys)
    dots = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs[there], ys[there], strict=True))
    return found + f"<polyline points='{dots}' fill='none' stroke='#0072b2' stroke-width='1.6'/>"


def _height(values: npt.NDArray[Any], ends: tuple[float, float]) -> npt.NDArray[np.float64]:
    share = (np.asarray(values, np.float64) - ends[0]) / (ends[1] - ends[0])
    return np.asarray(_TOP + _TALL * (1 - share))


def _value_ends(picture: Picture) -> tuple[float, float]:
    found = [each for each in (picture.low, picture.high) if each is not None]
    if picture.band is not None and not np.isnan(picture.band).all():
        found += [float(np.nanmin(picture.band)), float(np.nanmax(picture.band))]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    air = 0.04 * (high - low) or abs(low) / 2 or 0.5
    return low - air, high + air


def _ticks(side: Along, ends: tuple[float, float]) -> list[tuple[float, str]]:
    """Return where ticks stand, 0 to 1, and what they say."""
    if side.is_number and len(side) > 1 and not side.is_log:
        return _numbers(*ends)
    at, words = _places(side), side.words()
    step = -(-len(at) // _TICKS)
    return [
        ((place - ends[0]) / (ends[1] - ends[0]), word)
        for place, word in list(zip(at.tolist(), words, strict=True))[::step]
    ]


def _numbers(low: float, high: float) -> list[tuple[float, str]]:
    rough = (high - low) / _TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999)
    at = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return [((float(each) - low) / (high - low), f"{each:.5g}") for each in at]


def _frame() -> str:
    return (
        f"<rect x='{_LEFT}' y='{_TOP}' width='{_WIDE}' height='{_TALL}' fill='none' "
        "stroke='currentColor' stroke-opacity='.7'/>"
    )


def _across(ticks: list[tuple[float, str]], title: str) -> list[str]:
    floor = _TOP + _TALL
    found = [
        f"<text x='{_LEFT + share * _WIDE:.1f}' y='{floor + 17}' text-anchor='middle'>"
        f"{escape(word)}</text>"
        for share, word in ticks
    ]
    middle = _LEFT + _WIDE / 2
    found.append(f"<text x='{middle}' y='{floor + 38}' text-anchor='middle'>{escape(title)}</text>")
    return found


def _upward(ticks: list[tuple[float, str]], title: str) -> list[str]:
    found = [
        f"<text x='{_LEFT - 7}' y='{_TOP + (1 - share) * _TALL + 4:.1f}' text-anchor='end'>"
        f"{escape(word)}</text>"
        for share, word in ticks
    ]
    return [*found, _sideways(title, 13)]


def _sideways(title: str, x: float) -> str:
    y = _TOP + _TALL / 2
    return (
        f"<text x='{x}' y='{y}' text-anchor='middle' transform='rotate(-90 {x} {y})'>"
        f"{escape(title)}</text>"
    )


def _scale(picture: Picture) -> list[str]:
    if picture.low is None or picture.high is None:
        return []
    bar = np.arange(253, -1, -1, dtype=np.uint8)[:, np.newaxis]
    data = base64.b64encode(png(bar, _GRADED)).decode()
    left = _LEFT + _WIDE + 14
    found = [
        f"<image x='{left}' y='{_TOP}' width='12' height='{_TALL}' preserveAspectRatio='none' "
        f"href='data:image/png;base64,{data}'/>"
    ]
    is_flat = picture.high <= picture.low
    ticks = [(0.5, f"{picture.low:.5g}")] if is_flat else _numbers(picture.low, picture.high)
    found += [
        f"<text x='{left + 17}' y='{_TOP + (1 - share) * _TALL + 4:.1f}'>{escape(word)}</text>"
        for share, word in ticks
    ]
    return [*found, _sideways(picture.title, _LEFT + _WIDE + _RIGHT - 9)]


def _states(picture: Picture) -> list[str]:
    left = _LEFT + _WIDE + 14
    found = []
    for number, (code, word) in enumerate(picture.words.items()):
        y = _TOP + 20 * number
        color = _STATES[Status(code)]
        found.append(f"<rect x='{left}' y='{y}' width='12' height='12' fill='{color}'/>")
        found.append(f"<text x='{left + 17}' y='{y + 10}'>{escape(word)}</text>")
    return found
