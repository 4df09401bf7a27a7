"""The one output that a picture shows, over the dims that it has room for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from toolkit.errors import ToolkitError

if TYPE_CHECKING:
    import xarray as xr


def one_output(data: "xr.DataArray | xr.Dataset", picture: str) -> "xr.DataArray":
    """Return the data, or the only output of a Dataset.

    Raises
    ------
    ToolkitError
        If it is something else, or has several outputs.
    """
    import xarray as xr

    if isinstance(data, xr.DataArray):
        return data if data.name is not None else data.rename("value")
    if not isinstance(data, xr.Dataset):
        raise ToolkitError(
            f"tk.plot.{picture} draws an output of a result, such as data.peak, and was given "
            f"{type(data).__name__}."
        )
    names = [str(name) for name in data.data_vars]
    if len(names) != 1:
        first = names[0] if names else "peak"
        raise ToolkitError(
            f"tk.plot.{picture} draws one output, and this Dataset has {len(names)}: "
            f"{', '.join(names) or 'none'}. Say which: data[{first!r}], for example."
        )
    return data[names[0]]


def over(output: "xr.DataArray", names: Sequence[str], picture: str) -> "xr.DataArray":
    """Return an output over the dims of these names and no others.

    A name is that of a dim or of a coordinate along one, which then takes the dim's place. Dims
    with one label are dropped; it stays as a coordinate.

    Raises
    ------
    ToolkitError
        If a name is unknown, or dims are left.
    """
    for name in names:
        if name in output.dims:
            continue
        coord = output.coords.get(name)
        if coord is None or coord.ndim != 1:
            usable = [str(each) for each in output.coords if output.coords[each].ndim == 1]
            raise ToolkitError(
                f"{output.name!r} has no dim {name!r}, nor a coordinate of that name along one. "
                f"It has: {', '.join([*map(str, output.dims), *_new(usable, output.dims)])}."
            )
        output = output.swap_dims({coord.dims[0]: name})
    ones = [dim for dim in output.dims if dim not in names and output.sizes[dim] == 1]
    output = output.isel(dict.fromkeys(ones, 0))
    left = [str(dim) for dim in output.dims if dim not in names]
    if left:
        raise ToolkitError(too_many(output, names, left, picture))
    for dim in names:
        if dim not in output.coords:
            output = output.assign_coords({dim: range(output.sizes[dim])})
    return output


def too_many(
    output: "xr.DataArray", names: Sequence[str], left: Sequence[str], picture: str
) -> str:
    """Return that dims are left, and what to do with them."""
    sizes = ", ".join(f"{dim} ({output.sizes[dim]:,} labels)" for dim in left)
    drawn = " and ".join(map(repr, names)) if names else "fewer dims"
    label = _literal(output, left[0])
    return (
        f"tk.plot.{picture} draws {output.name!r} over {drawn}, and it also has {sizes}. "
        f"Select one label of each, as in data.sel({left[0]}={label}), or reduce it, as in "
        f"data.mean({left[0]!r})."
    )


def two_dims(output: "xr.DataArray", x: str | None, y: str | None, picture: str) -> tuple[str, str]:
    """Return the dims of the axes: those named, the others in the order that the data has.

    Raises
    ------
    ToolkitError
        If there are not two to choose.
    """
    taken = [
        output.coords[name].dims[0] if name in output.coords and name not in output.dims else name
        for name in (x, y)
        if name is not None
    ]
    free = [str(dim) for dim in output.dims if dim not in taken and output.sizes[dim] > 1]
    # Dims of one label are drawn only where there is no other choice.
    spare = [str(dim) for dim in output.dims if dim not in taken and output.sizes[dim] == 1]
    wanted = (x is None) + (y is None)
    chosen = (free + spare[: max(0, wanted - len(free))]) if wanted else []
    if len(chosen) < wanted:
        raise ToolkitError(
            f"tk.plot.{picture} needs two dims, and {output.name!r} has "
            f"{', '.join(map(str, output.dims)) or 'none'}. Draw it with tk.plot.line; points "
            "that are on no grid with tk.plot.pairs."
        )
    if wanted and len(chosen) > wanted:
        if wanted == 2:
            named: list[str] = chosen[:2]
        else:
            named = [name for name in (x, y) if name is not None] + chosen[:1]
        raise ToolkitError(
            too_many(output, named, [dim for dim in free if dim not in named], picture)
        )
    found = iter(sorted(chosen, key=output.dims.index))
    return x if x is not None else next(found), y if y is not None else next(found)


def selection(output: "xr.DataArray") -> str:
    """Return what was selected, ``"trial = 3, model = svm"``: the scalar coordinates."""
    texts = []
    for name, coord in output.coords.items():
        if coord.ndim == 0:
            units = coord.attrs.get("units")
            unit = "" if units in (None, "", "1", 1) else f" ({units})"
            texts.append(f"{name} = {_short(coord.values[()])}{unit}")
    text = ", ".join(texts)
    return text if len(text) <= 70 else f"{text[:69]}…"


def _short(value: Any) -> str:
    return (
        f"{value:.4g}"
        if getattr(value, "dtype", None) is not None and (value.dtype.kind == "f")
        else str(value)
    )


def _literal(output: "xr.DataArray", dim: str) -> str:
    if dim not in output.coords:
        return "0"
    label = output.coords[dim].values[0]
    plain = label.item() if hasattr(label, "item") and label.dtype.kind in "iufbUO" else str(label)
    return repr(plain)


def _new(names: Sequence[str], known: Sequence[Any]) -> list[str]:
    return [name for name in names if name not in known]
