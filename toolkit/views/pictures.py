"""The pictures of a sweep: any output over any dims, of a live job or of a store.

A look at a live job reads only what has ended since the last one.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import ToolkitError
from toolkit.run_status import Status
from toolkit.stages.schema import Variable
from toolkit.stores.reading.live import LiveStage, is_drawn
from toolkit.stores.zarr_store import ZarrStore
from toolkit.views.picture import Along, Picture
from toolkit.views.reduction import any_of, block_mean, bounds, leading_state, mean_over
from toolkit.views.sides import (
    home,
    in_blocks,
    inner_sides,
    numbered,
    outer_sides,
    position,
    replicates,
    texts_of,
)

if TYPE_CHECKING:
    from toolkit.execution.job import Job

STATES = ("status", "seconds")
WORDS = {int(each): each.name.lower() for each in Status if each != Status.SKIPPED}

_MOST_CELLS = 1 << 24
_MOST_SCALED = 1 << 22
_MOST_INNER = 1 << 22
_MOST_POINTS = 20_000

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class _Output:
    """One output, or a state, and the stage that it is of."""

    name: str
    stage: LiveStage
    variable: Variable
    is_state: bool = False


class Pictures:
    """Makes pictures of the outputs of some stages.

    Parameters
    ----------
    stages
        In the order in which they run.
    """

    def __init__(self, stages: Sequence[LiveStage]) -> None:
        self._stages = tuple(stages)

    @classmethod
    def of_job(cls, job: "Job") -> "Pictures":
        """Return the pictures of a job, which may be looked at again and again as it goes on."""
        flat = job.chooses_points
        return cls(
            [
                LiveStage(
                    step.runs,
                    step.prepared.space,
                    defaults=step.prepared.defaults,
                    flat=True if flat else None,
                )
                for step in job.steps
                if step.is_kept
            ]
        )

    @classmethod
    def of_store(cls, path: str | os.PathLike[str], *, flat: bool | None = None) -> "Pictures":
        """Return the pictures of everything that a store holds by now.

        Raises
        ------
        StoreError
            If there is no store at the path.
        """
        store = ZarrStore.read(os.path.expanduser(path))
        return cls([LiveStage(store.stage(name), flat=flat) for name in store.stage_names])

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what can be drawn: outputs that are numbers, then ``status`` and ``seconds``.

        Where several stages have an output of one name, and for the states of several stages,
        the name is followed by that of the stage, as in ``status_fit``.
        """
        return tuple(self._known())

    def dims(self, output: str) -> dict[str, Along]:
        """Return what an output can be drawn over, by name, all labels of each.

        Inner dims come last. Parameters along a sample or table, and those of runs on no grid,
        are not ``is_whole``: points are drawn over them.
        """
        found = self._one(output)
        outer = outer_sides(found.stage)
        return {**outer, **inner_sides(found.variable, found.stage.schema)}

    def default(self, output: str) -> tuple[str | None, str | None]:
        """Return over what an output is drawn where nobody has chosen: x and y."""
        found = self._one(output)
        dims = self.dims(output)
        points = [name for name, dim in dims.items() if not dim.is_whole and dim.is_number]
        inner = [name for name in found.variable.dims if len(dims[name]) > 1]
        varied = [
            name
            for name, dim in dims.items()
            if dim.is_whole and len(dim) > 1 and not (points and name in numbered(found.stage))
        ]
        chosen = [name for name in varied if name not in replicates(found.stage)] or varied
        if inner:
            return inner[0], None
        chosen = chosen or points or list(dims)
        return (*chosen, None, None)[0], (*chosen, None, None)[1]

    def draw(
        self,
        output: str,
        x: str | None = None,
        y: str | None = None,
        *,
        where: Mapping[str, object] | None = None,
        most: tuple[int, int] = (480, 720),
    ) -> Picture:
        """Return an output as it stands now.

        Parameters
        ----------
        output
            One of ``outputs``.
        x, y
            Over which dims; :meth:`default` where neither is given. Without ``y`` a line.
        where
            Labels of other dims. Over those that are not named the mean is taken.
        most
            Cells upwards and across; where there are more, means of neighbors are drawn.

        Raises
        ------
        ToolkitError
            If there is no such output, dim or label.
        StoreError
            If a value cannot be read.
        """
        found = self._one(output)
        dims = self.dims(output)
        if x is None and y is None:
            x, y = self.default(output)
        if x is None:
            raise ToolkitError(f"{output!r} is one run: there is no dim to draw it over.")
        for name in (x, y, *(where or {})):
            if name is not None and name not in dims:
                raise ToolkitError(f"{output!r} has no dim {name!r}; it has {', '.join(dims)}.")
        if x == y:
            raise ToolkitError(f"A picture over {x!r} and {x!r}: give two dims.")
        if not dims[x].is_whole or (y is not None and not dims[y].is_whole):
            return _points(found, dims, x, y, dict(where or {}))
        return _grid(found, dims, x, y, dict(where or {}), most)

    def _known(self) -> dict[str, _Output]:
        every = [
            _Output(name=variable.name, stage=stage, variable=variable)
            for stage in self._stages
            for variable in stage.schema.variables
            if is_drawn(variable)
        ]
        every += [
            _Output(name=name, stage=stage, variable=_STATES[name], is_state=True)
            for name in STATES
            for stage in self._stages
        ]
        names = [each.name for each in every]
        return {
            each.name if names.count(each.name) == 1 else f"{each.name}_{each.stage.name}": each
            for each in every
        }

    def _one(self, output: str) -> _Output:
        known = self._known()
        if output not in known:
            raise ToolkitError(
                f"There is no output {output!r} to draw. There are: {', '.join(known) or 'none'}."
            )
        return known[output]


_STATES = {
    "status": Variable(name="status", dtype="|u1", attrs={"long_name": "state of the run"}),
    "seconds": Variable(
        name="seconds", dtype="<f4", attrs={"long_name": "wall time of the run", "units": "s"}
    ),
}


def _grid(
    output: _Output,
    dims: Mapping[str, Along],
    x: str,
    y: str | None,
    where: dict[str, object],
    most: tuple[int, int],
) -> Picture:
    stage, variable = output.stage, output.variable
    outer = stage.frame.dims
    names = (*outer, *variable.dims)
    fixed = {name: position(dims[name], label) for name, label in where.items()}
    fixed = {name: at for name, at in fixed.items() if name in names and name not in (x, y)}
    others = [name for name in names if name not in (x, y) and name not in fixed]
    indices, thinned = _indices(output, dims, names, fixed, (x, y))
    values = _values(output, names, indices)
    axes = tuple(names.index(name) for name in names if name not in (x, y))
    sides = [name for name in (y, x) if name is not None]
    sizes = [-(-len(dims[name]) // limit) for name, limit in zip((y, x), most, strict=True) if name]
    is_turned = [name for name in names if name in sides] != sides
    band = None
    scale: tuple[float, float] | None = None
    if variable.name == "status" and output.is_state:
        ordered = sizes[::-1] if is_turned else sizes
        drawn = leading_state(values, axes, ordered)
        scale = (0.0, float(len(Status) - 1))
    else:
        means = mean_over(values, axes)
        scale = _scale(output, dims, names, fixed, others, means)
        if y is None and any(len(dims[name]) > 1 for name in others):
            with np.errstate(all="ignore"):
                band = np.stack([np.fmin.reduce(values, axes), np.fmax.reduce(values, axes)])
        drawn = block_mean(means, sizes[::-1] if is_turned else sizes)
    failed = _failed(output, indices, axes, sizes[::-1] if is_turned else sizes, drawn)
    drawn, failed = (drawn.T, failed.T) if is_turned else (drawn, failed)
    each = dict(zip(sides, sizes, strict=True))
    units, long_name = texts_of(variable.attrs)
    return Picture(
        kind="line" if y is None else "map",
        name=output.name,
        stage=stage.name,
        x=in_blocks(dims[x], each[x]),
        y=None if y is None else in_blocks(dims[y], each[y]),
        values=_single(drawn.reshape(1, -1) if y is None else drawn),
        failed=_marked(failed.reshape(1, -1) if y is None else failed),
        band=None if band is None or each[x] > 1 else _single(band),
        low=None if scale is None else scale[0],
        high=None if scale is None else scale[1],
        units=units,
        long_name=long_name,
        note=_note(output, dims, fixed, others, each, thinned)
        + ("" if band is None or each[x] > 1 else ", and the range of all"),
        words=WORDS if output.is_state and variable.name == "status" else {},
    )


def _indices(
    output: _Output,
    dims: Mapping[str, Along],
    names: Iterable[str],
    fixed: Mapping[str, int],
    sides: tuple[str | None, ...],
) -> tuple[dict[str, Ints | None], list[str]]:
    """Return which indices of each dim are read, and where that is not all of them."""
    found: dict[str, Ints | None] = {}
    for name in names:
        found[name] = np.array([fixed[name]]) if name in fixed else None
    counts = {name: 1 if name in fixed else len(dims[name]) for name in names}
    most = _MOST_INNER if output.variable.dims else _MOST_CELLS
    thinned = []
    # Means over many labels are made of some; the sides of the picture come last.
    order = sorted(output.stage.frame.dims, key=lambda name: (name in sides, -counts[name]))
    for name in order:
        cells = int(np.prod(list(counts.values()), dtype=np.float64))
        if cells <= most or counts[name] == 1 or name in sides:
            continue
        step = min(-(-cells // most), counts[name])
        found[name] = np.arange(0, counts[name], step)
        counts[name] = len(np.arange(0, counts[name], step))
        thinned.append(name)
    cells = int(np.prod(list(counts.values()), dtype=np.float64))
    if cells > 4 * most:
        raise ToolkitError(
            f"A picture of {cells:,} cells is too large: select a part of the sweep, or labels of "
            "other dims."
        )
    return found, thinned


def _values(output: _Output, names: Sequence[str], indices: Mapping[str, Ints | None]) -> Array:
    """Return what is there in these indices of all dims; the state of missing cells is NaN."""
    stage, variable = output.stage, output.variable
    outer = [indices[name] for name in stage.frame.dims]
    if output.is_state:
        by_run = stage.status() if variable.name == "status" else stage.state(variable.name)
        return stage.cells(by_run, outer)
    if not variable.dims:
        return stage.cells(stage.values(variable), outer)
    block = stage.inner(variable, outer)
    for axis, name in enumerate(names):
        index = indices[name]
        if axis >= len(outer) and index is not None:
            block = np.take(block, index, axis=axis)
    return block


def _failed(
    output: _Output,
    indices: Mapping[str, Ints | None],
    axes: tuple[int, ...],
    sizes: Sequence[int],
    drawn: Array,
) -> Array:
    """Return where nothing is drawn because a run failed, of the shape of what is drawn."""
    stage = output.stage
    has_failed = stage.status() == Status.FAILED
    if output.is_state or not has_failed.any():
        return np.zeros(drawn.shape, bool)
    cells = stage.cells(has_failed, [indices[name] for name in stage.frame.dims])
    cells = cells.reshape(*cells.shape, *(1 for _ in output.variable.dims))
    return np.isnan(drawn) & any_of(cells, axes, sizes)


def _marked(failed: Array) -> npt.NDArray[np.bool_] | None:
    return np.ascontiguousarray(failed) if failed.any() else None


def _scale(
    output: _Output,
    dims: Mapping[str, Along],
    names: Sequence[str],
    fixed: Mapping[str, int],
    others: Sequence[str],
    means: Array,
) -> tuple[float, float] | None:
    """Return the bounds over all labels of what is fixed, so that slices share a scale."""
    cells = float(np.prod([len(dims[name]) for name in names], dtype=np.float64))
    if not fixed or output.variable.dims or cells > _MOST_SCALED:
        return bounds(means)
    every: dict[str, Ints | None] = dict.fromkeys(names)
    values = _values(output, names, every)
    return bounds(mean_over(values, tuple(names.index(name) for name in others)))


def _points(
    output: _Output, dims: Mapping[str, Along], x: str, y: str | None, where: dict[str, object]
) -> Picture:
    """Return runs as points over parameters that lie along one dim."""
    stage, variable = output.stage, output.variable
    if variable.dims:
        raise ToolkitError(f"{output.name!r} has inner dims, and a point is one number.")
    homes = {name: home(stage, name) for name in (x, y) if name is not None}
    if len(set(homes.values())) > 1:
        raise ToolkitError(f"{x!r} and {y!r} lie along different dims: there are no points.")
    dim = homes[x]
    fixed = {name: position(dims[name], label) for name, label in where.items()}
    names = stage.frame.dims
    indices: dict[str, Ints | None] = {
        name: np.array([fixed[name]]) if name in fixed and name != dim else None for name in names
    }
    axes = tuple(at for at, name in enumerate(names) if name != dim)
    values = _values(output, names, indices)
    is_status = output.is_state and variable.name == "status"
    drawn = leading_state(values, axes, (1,)) if is_status else mean_over(values, axes)
    failed = _failed(output, indices, axes, (1,), drawn)
    step = -(-len(drawn) // _MOST_POINTS) or 1
    scale = (0.0, float(len(Status) - 1)) if is_status else bounds(drawn)
    units, long_name = texts_of(variable.attrs)
    others = [name for name in names if name != dim and name not in fixed]
    notes = [_note(output, dims, {k: fixed[k] for k in fixed if k != dim}, others, {}, [])]
    if step > 1:
        notes.append(f"{len(drawn[::step]):,} of {len(drawn):,} runs are shown")

    def thinned(side: Along) -> Along:
        return Along(
            name=side.name,
            labels=side.labels[::step],
            units=side.units,
            long_name=side.long_name,
            is_whole=False,
        )

    return Picture(
        kind="scatter",
        name=output.name,
        stage=stage.name,
        x=thinned(dims[x]),
        y=None if y is None else thinned(dims[y]),
        values=_single(drawn[::step].reshape(1, -1)),
        failed=_marked(failed[::step].reshape(1, -1)),
        low=None if scale is None else scale[0],
        high=None if scale is None else scale[1],
        units=units,
        long_name=long_name,
        note="; ".join(filter(None, notes)),
        words=WORDS if is_status else {},
    )


def _note(
    output: _Output,
    dims: Mapping[str, Along],
    fixed: Mapping[str, int],
    others: Iterable[str],
    each: Mapping[str, int],
    thinned: Sequence[str],
) -> str:
    """Return in words what is selected, and what the mean is taken of."""
    is_status = output.is_state and output.variable.name == "status"
    notes = [f"{name} = {dims[name].words()[at]}" for name, at in fixed.items()]
    many = [f"{name} ({len(dims[name]):,})" for name in others if len(dims[name]) > 1]
    if many:
        which = " and ".join(many)
        how = "failed where any is, over" if is_status else "mean over"
        notes.append(f"{how} {which}")
    if thinned:
        notes.append(f"of {' and '.join(thinned)} some labels only")
    blocks = [f"{size} {name}" for name, size in each.items() if size > 1]
    if blocks:
        what = "a cell stands for" if is_status else "a cell is the mean of"
        notes.append(f"{what} {' × '.join(blocks)}")
    return "; ".join(notes)


def _single(values: Array) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.ascontiguousarray(values, np.float32)
