"""How much faster more workers are, beside what would be ideal."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError
from toolkit.views.plots.canvas import axes_of, colors_of, ink
from toolkit.views.plots.labels import label_of
from toolkit.views.plots.samples import as_dataset

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

_RATES = ("runs_per_second", "rate", "throughput")
_TIMES = ("seconds", "wall_seconds", "wall_time")

Floats = npt.NDArray[np.float64]


def scaling(
    data: "xr.Dataset | xr.DataArray | pd.DataFrame",
    *,
    rate: str | None = None,
    seconds: str | None = None,
    workers: str = "workers",
    by: str | None = None,
    speedup: bool | None = None,
    ax: "Axes | None" = None,
    **more: Any,
) -> "Axes":
    """Draw runs per second, or how much faster, against the number of workers.

    Each measurement is a point, and the line goes through the medians where there are several. The
    dashed line is what as many workers would reach if each did as much as one of the fewest.

    Parameters
    ----------
    data
        A table with a column of workers, or a Dataset with a dim of that name; further dims are
        repetitions.
    rate
        Name of what grows with workers; ``runs_per_second``, ``rate`` or ``throughput`` where
        one of them is there.
    seconds
        Name of how long the same work took, instead; ``seconds``, ``wall_seconds`` or
        ``wall_time``.
    workers
        Name of the number of workers.
    by
        Name of what tells series apart, such as a method.
    speedup
        Whether to divide by what the fewest workers did, so that the ideal is the number of
        workers where these are one. None: for ``seconds``, and not for rates.
    ax
        Axes to draw into; those of a new figure.
    **more
        For ``matplotlib.axes.Axes.plot``.

    Raises
    ------
    ToolkitError
        If a name is not in the data, or numbers of workers or values are not above zero.
    """
    dataset = as_dataset(data, "scaling")
    rate, seconds = _what(dataset, rate, seconds)
    value = rate or seconds or ""
    for name in filter(None, (value, workers, by)):
        if name not in dataset.variables:
            raise ToolkitError(
                f"tk.plot.scaling finds no {name!r} in the data, which has "
                f"{', '.join(map(repr, map(str, dataset.variables)))}. Name it: workers=, rate=, "
                "seconds= or by=."
            )
    table = dataset[list(filter(None, (value, workers, by)))].to_dataframe().reset_index()
    table = table[table[value].notna() & table[workers].notna()]
    if not len(table) or not ((table[workers] > 0).all() and (table[value] > 0).all()):
        raise ToolkitError(
            f"{workers!r} and {value!r} have to be above zero, and some to be there."
        )
    axes = axes_of(ax)
    relative = seconds is not None if speedup is None else speedup
    groups = [("", table)] if by is None else list(table.groupby(by, sort=False, observed=True))
    drawn: list[tuple[Floats, float]] = []
    for color, (series, part) in zip(
        colors_of(len(groups), are_ordered=False), groups, strict=True
    ):
        at = part[workers].to_numpy(np.float64)
        done = part[value].to_numpy(np.float64)
        speed = 1 / done if rate is None else done
        numbers = np.unique(at)
        medians = np.array([np.median(speed[at == number]) for number in numbers])
        first = medians[0]
        unit = first if relative else (1.0 if rate is not None else first)
        style = {"color": color, "marker": "o", "ms": 5, "lw": 1.8, "label": str(series), **more}
        axes.plot(numbers, medians / unit, **style)
        if len(at) > len(numbers):
            axes.plot(at, speed / unit, ls="", marker="o", ms=3, mew=0, color=color, alpha=0.4)
        drawn.append((numbers, float(first / unit / numbers[0])))
    _draw_ideal(axes, drawn)
    is_ratio = relative or rate is None
    _dress(
        axes, table[workers].to_numpy(np.float64), label_of(dataset[workers]), are_ratios=is_ratio
    )
    axes.set_ylabel("speed-up" if is_ratio else label_of(dataset[value]).replace("_", " "))
    axes.legend(title=by, fontsize="small", title_fontsize="small")
    return axes


def _what(
    dataset: "xr.Dataset", rate: str | None, seconds: str | None
) -> tuple[str | None, str | None]:
    """Return the name of a rate or that of seconds."""
    if rate is not None and seconds is not None:
        raise ToolkitError("tk.plot.scaling draws rate= or seconds=, not both.")
    if rate is not None or seconds is not None:
        return rate, seconds
    for name in _RATES:
        if name in dataset.variables:
            return name, None
    for name in _TIMES:
        if name in dataset.data_vars:
            return None, name
    names = ", ".join(repr(str(name)) for name in dataset.data_vars)
    raise ToolkitError(
        f"tk.plot.scaling has to know what to draw, out of {names or 'nothing'}. Say "
        "rate= for what grows with workers, or seconds= for how long the same work took."
    )


def _draw_ideal(axes: Any, drawn: list[tuple[Floats, float]]) -> None:
    """Draw what is ideal, once for series that begin alike."""
    seen: set[tuple[float, float, float]] = set()
    for numbers, each in drawn:
        low, high = float(numbers[0]), float(numbers[-1])
        if (low, high, each) in seen:
            continue
        label = None if seen else "ideal"
        seen.add((low, high, each))
        ends = np.array([low, high])
        axes.plot(
            ends,
            ends * each,
            ls="--",
            lw=1.2,
            color=ink(),
            alpha=0.7,
            label=label,
            zorder=1,
            gid="ideal",
        )


def _dress(axes: Any, workers: Floats, label: str, *, are_ratios: bool) -> None:
    numbers = np.unique(workers)
    if len(numbers) > 1 and numbers[-1] >= 4 * numbers[0]:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log", base=2 if are_ratios else 10)
        axes.xaxis.set_ticks([], minor=True)
        if are_ratios:
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
    if len(numbers) <= 12:
        axes.set_xticks(numbers, labels=[f"{number:g}" for number in numbers])
    axes.set_xlabel(label)
