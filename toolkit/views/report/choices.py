"""What is drawn of each output: over which dims, as a map, a line or a scatter."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from toolkit.spaces.axis import Dim
from toolkit.stores.reading.frame import RUN
from toolkit.views.report.material import StageMaterial

if TYPE_CHECKING:
    import xarray as xr

Kind = Literal["map", "line", "scatter"]

_WORDS = {"U": "text", "T": "text", "O": "text", "M": "dates", "m": "durations", "c": "complex"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How one output is drawn.

    Attributes
    ----------
    stage, name
        Of the output.
    kind
        Of picture.
    dims
        That it is drawn over: two of a map, one of a line; of a scatter that of the points.
    rest
        Dims over which the mean is taken.
    parameters
        Numbers along the dim of a scatter: candidates for its axes.
    """

    stage: StageMaterial
    name: str
    kind: Kind
    dims: tuple[str, ...]
    rest: tuple[str, ...]
    parameters: tuple[str, ...] = ()

    @property
    def output(self) -> "xr.DataArray":
        """The values."""
        assert self.stage.data is not None
        return self.stage.data[self.name]


def choices(stage: StageMaterial) -> Iterator[Choice]:
    """Yield what is drawn of a stage: its outputs that are numbers over a swept dim."""
    if stage.data is None:
        return
    for name, output in stage.data.data_vars.items():
        if output.dtype.kind in "iufb":
            choice = _choice(stage, str(name), output)
            if choice is not None:
                yield choice


def not_drawn(stage: StageMaterial) -> Iterator[tuple[str, str]]:
    """Yield the outputs that no picture shows, and what they are."""
    if stage.data is None:
        return
    for name, output in stage.data.data_vars.items():
        if output.dtype.kind in _WORDS:
            yield str(name), _WORDS[output.dtype.kind]
    for name in stage.data.attrs.get("objects", ()):
        yield str(name), "Python objects"


def _choice(stage: StageMaterial, name: str, output: "xr.DataArray") -> Choice | None:
    swept = [each for each in stage.dims if not each.hidden and each.name in output.dims]
    if RUN in output.dims and RUN not in {each.name for each in swept}:
        return _scatter(stage, name, output, RUN)
    rows = [each for each in swept if each.kind == "rows" and each.size > 1]
    unlabelled = [each for each in rows if each.label_column is None]
    if unlabelled:
        return _scatter(stage, name, output, unlabelled[0].name)
    drawn = _largest(output, swept)
    if not drawn:
        return None
    rest = _without(output, drawn)
    return Choice(
        stage=stage, name=name, kind="map" if len(drawn) == 2 else "line", dims=drawn, rest=rest
    )


def _largest(output: "xr.DataArray", swept: list[Dim]) -> tuple[str, ...]:
    """Return the one or two dims to draw over, the longest, of which one at least is swept.

    Repetitions are what means are taken over, unless nothing else varies.
    """
    sizes = {str(dim): size for dim, size in output.sizes.items()}
    varied = [each for each in swept if each.size > 1]
    axes = [each.name for each in varied if each.kind != "replicates"]
    axes = axes or [each.name for each in varied]
    inner = [
        dim for dim, size in sizes.items() if size > 1 and dim not in {each.name for each in swept}
    ]
    if not axes:
        return ()
    first = max(axes, key=lambda dim: sizes[dim])
    others = [dim for dim in (*axes, *inner) if dim != first]
    if not others:
        return (first,)
    pair = {first, max(others, key=lambda dim: sizes[dim])}
    return tuple(dim for dim in sizes if dim in pair)


def _scatter(stage: StageMaterial, name: str, output: "xr.DataArray", dim: str) -> Choice | None:
    if output.sizes[dim] < 2:
        return None
    states = ("status", "attempts", "seconds", "peak_memory")
    parameters = tuple(
        str(label)
        for label, coord in output.coords.items()
        if coord.dims == (dim,) and coord.dtype.kind in "iuf" and label not in (*states, dim)
    )
    return Choice(
        stage=stage,
        name=name,
        kind="scatter",
        dims=(dim,),
        rest=_without(output, (dim,)),
        parameters=parameters,
    )


def _without(output: "xr.DataArray", drawn: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(dim) for dim in output.dims if dim not in drawn)


def described(attrs: Any, name: str) -> tuple[str, str]:
    """Return the long name of a variable, else its name, and its unit, "" without one."""
    units = attrs.get("units")
    long_name = attrs.get("long_name")
    return str(long_name or name), "" if units in (None, "", "1", 1) else str(units)
