"""``sweep.refine``: its arguments checked, its source made, its points read."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.known import KnownMap, known_map, require_number
from toolkit.optimizers.mesh import make_mesh
from toolkit.optimizers.refinement import Refinement
from toolkit.optimizers.unit_axis import UnitAxis
from toolkit.run_status import Status
from toolkit.spaces.axis import Column
from toolkit.spaces.space import Space
from toolkit.stages.identity import Identity
from toolkit.stages.preparing import Prepared, PreparedStage
from toolkit.stages.schema import Variable
from toolkit.stores.catalogues.box import as_array
from toolkit.stores.results import Results

if TYPE_CHECKING:
    import xarray as xr

_MOST_KNOWN = {1: 20_000, 2: 20_000}
_MOST_KNOWN_OVER_MORE = 600


def make_refinement(
    prepared: Prepared,
    results: Results,
    output: str,
    *,
    dims: str | Iterable[str],
    points: int,
    loss: str,
) -> Refinement:
    """Return the source of a refinement's points, which knows what is stored already.

    Raises
    ------
    SweepError
        If there is nothing to refine: see :meth:`toolkit.Sweep.refine`.
    """
    stage = _only_stage(prepared)
    if isinstance(points, bool) or not isinstance(points, int | np.integer) or points < 1:
        raise SweepError(f"points={points!r} must be a whole number of at least 1.")
    space = stage.space
    names = _names(dims)
    axes = [UnitAxis.of(_column(space, name)) for name in names]
    _check_others(space, names)
    if stage.stage.declared is not None:
        _check_declared(stage, output)
    mesh = make_mesh(len(axes), loss)
    runs = results.look(stage.name)
    known = KnownMap()
    if runs is not None:
        known = known_map(runs, space, axes, output, stage.defaults)
    most = _MOST_KNOWN.get(len(axes), _MOST_KNOWN_OVER_MORE)
    if len(known) > most:
        raise SweepError(
            f"{len(known):,} points are stored over {', '.join(map(repr, names))}, more than the "
            f"{most:,} that a refinement over {len(axes)} dims can begin with. Refine a part: "
            f"sweep.sel({names[0]}=slice(…, …)).refine(…)."
        )
    return Refinement(
        space=space, axes=axes, output=output, points=int(points), mesh=mesh, known=known
    )


def refined_dataset(
    prepared: Prepared, results: Results, identity: Identity, refinement: Refinement
) -> "xr.Dataset":
    """Return the runs of the points that a refinement gave, along ``run``."""
    from toolkit.stores.reading.view import labelled
    from toolkit.stores.runs.seen import Seen

    (stage,) = prepared.stages
    runs = results.look(stage.name)
    found = np.zeros(0, np.int64)
    if runs is not None and refinement.given is not None:
        found = as_array(runs.catalogue.find(refinement.given, defaults=stage.defaults))
        found = np.unique(found[found >= 0])
        status = np.asarray(runs.state.status)[found]
        found = found[(status != Status.PENDING) & (status != Status.SKIPPED)]
    data = labelled(
        None if runs is None else Seen(runs, identity),
        name=stage.name,
        flat=True,
        load=False,
        unpickle=True,
        attrs={"store": "in memory" if results.path is None else str(results.path)},
    )
    return data.sel(run=found).load()


def _only_stage(prepared: Prepared) -> PreparedStage:
    if len(prepared.stages) > 1:
        names = ", ".join(repr(each.name) for each in prepared.stages)
        raise SweepError(
            f"refine works on sweeps of one stage, and this one has {names}. Refine a sweep of one "
            "function that calls the others."
        )
    return prepared.stages[0]


def _names(dims: str | Iterable[str]) -> list[str]:
    names = [dims] if isinstance(dims, str) else list(dims)
    if not names or len(set(names)) < len(names):
        raise SweepError(f"dims={dims!r} must name one dim or more, each once.")
    return names


def _column(space: Space, name: str) -> Column:
    """Return a parameter that lies along one dim."""
    for dim in space.dims:
        for column in dim.columns:
            if column.name == name and dim.kind == "replicates":
                raise SweepError(
                    f"{name!r} numbers replicates, and there is nothing between them. Each point "
                    "that refine adds gets all of them."
                )
            if column.name == name:
                return column
    if any(field.name == name for field in space.fields):
        raise SweepError(
            f"{name!r} has a value for each cell of several dims, and none between them, so it "
            "cannot be refined over."
        )
    known = ", ".join(repr(c.name) for dim in space.dims if not dim.hidden for c in dim.columns)
    raise SweepError(f"dims= has {name!r}, which the space does not have. It has {known}.")


def _check_others(space: Space, names: list[str]) -> None:
    """Raise where anything but the refined parameters and replicates varies."""
    for dim in space.dims:
        columns = [column.name for column in dim.columns]
        refined = [name for name in columns if name in names]
        others = [name for name in columns if name not in names]
        if refined and others:
            raise SweepError(
                f"{', '.join(map(repr, others))} varies together with "
                f"{', '.join(map(repr, refined))} along {dim.name!r}, and has no value between "
                f"these. Refine over all of them: dims={tuple(columns)!r}."
            )
        if refined or dim.kind == "replicates" or dim.size == 1:
            continue
        one = dim.labels[:1].tolist()[0]
        raise SweepError(
            f"The space has {dim.size:,} labels along {dim.name!r}, over which dims= does not "
            f"refine. Choose one: sweep.sel({dim.name}={one!r}).refine(…), or refine over it too."
        )
    along = {dim.name for dim in space.dims if {c.name for c in dim.columns} & {*names}}
    for field in space.fields:
        raise SweepError(
            f"The parameter {field.name!r} has values at the labels along "
            f"{', '.join(map(repr, field.dims)) or 'no dim'} only, so refine has none to give to "
            "points between them."
            if along & {*field.dims}
            else f"refine cannot give the parameter {field.name!r}, whose values are arrays, to "
            "new points. Give it as a frozen input."
        )
    for each in space.conditions:
        if each.parameter in names and not each.mask.all():
            raise SweepError(
                f"{each.parameter!r} does not matter everywhere in this space (when), so it cannot "
                "be refined over. Select a part in which it does: sweep.sel(…)."
            )


def _check_declared(stage: PreparedStage, output: str) -> None:
    declared = stage.stage.declared
    assert declared is not None
    require_number(
        output,
        [
            Variable(
                name=each.name,
                kind=each.kind or "fixed",
                dtype=each.dtype or "<f8",
                dims=each.dims or (),
            )
            for each in declared.outputs
        ],
    )
