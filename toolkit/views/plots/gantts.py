"""When stages, workers and runs went on, from what the store knows."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.views.plots.canvas import OKABE_ITO, axes_of, ink, legend_above, title
from toolkit.views.plots.spans import Account, Busy, Span, account_of, packed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNITS = ((2 * 86400, 86400.0, "days"), (2 * 3600, 3600.0, "hours"), (300, 60.0, "minutes"))
_MOST_LANES = 60
_COLORS = {Status.DONE: OKABE_ITO[0], Status.FAILED: OKABE_ITO[1]}
_MARKERS = {"run failed": "x", "worker died": "v", "run climbed": "^"}
_HEIGHT = 0.7


class HasStore(Protocol):
    """What knows its store: a ``tk.Sweep``."""

    @property
    def store(self) -> str | os.PathLike[str] | None:
        """Folder of the store."""


def gantt(
    store: str | os.PathLike[str] | HasStore, *, start: int = -1, ax: "Axes | None" = None
) -> "Axes":
    """Draw when stages, workers and runs went on in one start of a sweep.

    It shows what the store knows. From the log of events: when each stage began and ended, how many
    threads were busy in it (in steps of about ten seconds, the height of the filled part), when
    workers of a cluster came and left, and when runs failed, workers died and runs climbed to a
    larger tier (of many at once, the first twenty). From the journals: the runs of each process,
    fast ones in stretches; those that have begun and not ended are hatched. Journals are there
    while a sweep runs and after it was killed: of a start that has ended, which process made which
    run is not recorded.

    Parameters
    ----------
    store
        Folder of a store, or the sweep that has one.
    start
        Which start of the sweep: 0 is the first that the log knows, -1 the last.
    ax
        Axes to draw into; those of a new figure.

    Raises
    ------
    StoreError
        If there is no store at the path.
    ToolkitError
        If the sweep has no store, or its log knows of no such start.
    """
    account = account_of(_path(store), start)
    rows = _rows(account)
    axes = axes_of(ax, size=(8, min(0.34 * len(rows) + 1.3, 12)))
    span = max(account.end - account.begin, 1e-3)
    seconds, unit = next(
        ((s, word) for least, s, word in _UNITS if span >= least), (1.0, "seconds")
    )

    def at(time: float) -> float:
        return (time - account.begin) / seconds

    lanes: dict[str, int] = {}
    for number, (lane, spans) in enumerate(rows):
        lanes.setdefault(lane, number)
        for each in spans:
            _draw_span(axes, number, each, at(each.begin), at(each.end), at(account.end))
    _draw_busy(axes, account.busy, lanes, at)
    entries = _draw_marks(axes, account, lanes, at)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), labels=[_name(rows, number) for number in range(len(rows))])
    axes.set_xlim(-0.01 * at(account.end), 1.02 * at(account.end))
    began = datetime.fromtimestamp(account.begin, UTC)
    axes.set_xlabel(f"{unit} since {began:%Y-%m-%d %H:%M:%S} UTC")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    legend_above(axes, [*_kinds(account), *entries])
    hidden = _hidden(account, rows)
    title(axes, f"{hidden:,} more workers or processes" if hidden else None)
    return axes


def _path(store: Any) -> str | os.PathLike[str]:
    if isinstance(store, str | os.PathLike):
        return store
    path = getattr(store, "store", None)
    if isinstance(path, str | os.PathLike):
        return path
    raise ToolkitError(
        "tk.plot.gantt needs a store: the folder, or a sweep with store=. What runs in memory "
        "leaves no log."
    )


def _rows(account: Account) -> list[tuple[str, list[Span]]]:
    """Return what each row of the picture shows: stages, then workers, then processes."""
    found: list[tuple[str, list[Span]]] = []
    for kinds in (("stage",), ("worker",), ("run", "runs", "running")):
        lanes: dict[str, list[Span]] = {}
        for span in account.spans:
            if span.kind in kinds:
                lanes.setdefault(span.lane, []).append(span)
        for lane, spans in lanes.items():
            found += [(lane, row) for row in packed(spans)]
    return found[:_MOST_LANES]


def _hidden(account: Account, rows: Sequence[tuple[str, list[Span]]]) -> int:
    return len({span.lane for span in account.spans} - {lane for lane, _ in rows})


def _name(rows: Sequence[tuple[str, list[Span]]], number: int) -> str:
    """Return the name of a row, nothing where the row above has it."""
    lane = rows[number][0]
    return "" if number and rows[number - 1][0] == lane else lane.removeprefix("tcp://")


def _draw_span(axes: "Axes", row: int, span: Span, begin: float, end: float, total: float) -> None:
    place: dict[str, Any] = {
        "y": row,
        "width": max(end - begin, total / 2000),
        "left": begin,
        "height": _HEIGHT,
    }
    if span.kind == "stage":
        axes.barh(**place, facecolor="none", edgecolor=ink(), lw=0.9, gid="stage")
        axes.annotate(
            span.text,
            (1, row),
            (4, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            fontsize="small",
        )
    elif span.kind == "worker":
        axes.barh(**{**place, "height": 0.3}, color=ink(), alpha=0.35, lw=0, gid="worker")
    elif span.kind == "running":
        axes.barh(
            **place, facecolor="none", edgecolor=OKABE_ITO[0], hatch="////", lw=0.8, gid="running"
        )
    else:
        axes.barh(
            **place, color=_COLORS[span.status or Status.DONE], lw=0, alpha=0.85, gid=span.kind
        )


def _draw_busy(axes: "Axes", busy: Sequence[Busy], lanes: dict[str, int], at: Any) -> None:
    """Fill each stage as high as threads were busy, the whole height for the most."""
    most = max((each.threads for each in busy), default=0.0)
    for each in busy:
        if each.lane not in lanes or not most:
            continue
        foot = lanes[each.lane] + _HEIGHT / 2
        axes.fill_between(
            [at(each.begin), at(each.end)],
            [foot, foot],
            foot - _HEIGHT * each.threads / most,
            color=OKABE_ITO[5],
            alpha=0.5,
            lw=0,
            gid="busy",
        )


def _draw_marks(axes: "Axes", account: Account, lanes: dict[str, int], at: Any) -> list[Any]:
    entries = []
    for word, found in account.marks.items():
        there = [(at(time), lanes[lane]) for lane, time in found if lane in lanes]
        if there:
            xs, ys = zip(*there, strict=True)
            entries.append(
                axes.scatter(
                    xs, ys, s=22, marker=_MARKERS[word], color=OKABE_ITO[1], zorder=3, label=word
                )
            )
    return entries


def _kinds(account: Account) -> list[Any]:
    """Return entries of a legend for the kinds of bars that there are."""
    from matplotlib.patches import Patch

    there = {(span.kind, span.status) for span in account.spans}
    kinds = {kind for kind, _ in there}
    entries = []
    if account.busy:
        most = max(each.threads for each in account.busy)
        entries.append(
            Patch(color=OKABE_ITO[5], alpha=0.5, label=f"threads busy (up to {most:.1f})")
        )
    if "worker" in kinds:
        entries.append(Patch(color=ink(), alpha=0.35, label="worker is there"))
    if any(kind in ("run", "runs") and status == Status.DONE for kind, status in there):
        entries.append(Patch(color=_COLORS[Status.DONE], label="done"))
    if any(kind in ("run", "runs") and status == Status.FAILED for kind, status in there):
        entries.append(Patch(color=_COLORS[Status.FAILED], label="failed"))
    if "running" in kinds:
        entries.append(
            Patch(facecolor="none", edgecolor=OKABE_ITO[0], hatch="////", label="not ended")
        )
    return entries
