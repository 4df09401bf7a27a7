"""``toolkit export``: a store as a file for other programs."""

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.commands.outcome import CommandError, ExitCode, reported, suggest_looking

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

_SUFFIXES = (".nc", ".csv", ".parquet")


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT.nc|csv|parquet", type=click.Path(path_type=Path))
@click.option("--stage", help="Name of the stage, where there are several.")
@reported
def export(store: Path, out: Path, stage: str | None) -> ExitCode:
    """Write the results of STORE to one file.

    .nc has the labelled arrays; .csv and .parquet have a row for each run, without the outputs
    that have dims of their own. A file that is there is replaced.
    """
    typed = shlex.quote(str(store))
    suggest_looking(store)
    kind = out.suffix.lower()
    if kind not in _SUFFIXES:
        raise CommandError(
            f"{out} ends in none of {', '.join(_SUFFIXES)}.", f"toolkit export {typed} results.nc"
        )
    if out.is_dir() or not out.parent.is_dir():
        what = "is a folder" if out.is_dir() else f"cannot be written: there is no {out.parent}"
        raise CommandError(f"{out} {what}.", f"toolkit export {typed} results{kind}")
    _require_writer(kind, store, out)
    data = _readable(store, stage, flat=kind != ".nc")
    # In full beside it first: who waits for the file must never find half of it.
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        if kind == ".nc":
            _write_netcdf(data, part)
            size = ", ".join(f"{name} {length:,}" for name, length in data.sizes.items())
        else:
            table = _as_table(data)
            _write_table(table, part, kind)
            size = f"{len(table):,} rows of {len(table.columns)} columns"
        os.replace(part, out)
    except OSError as error:
        raise CommandError(
            f"{out} cannot be written: {error.strerror or error}. Name another file.",
            f"toolkit export {typed} ~/results{kind}",
        ) from error
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        # What a store holds, a format need not be able to: texts with NUL, attributes of objects.
        raise CommandError(
            f"{out} cannot hold what is in {store}: {type(error).__name__}: {str(error)[:500]}. "
            f"Export it as another of {', '.join(_SUFFIXES)}, or read the store in Python.",
            f"toolkit export {typed} results{'.csv' if kind == '.nc' else '.nc'}",
        ) from error
    finally:
        part.unlink(missing_ok=True)
    click.echo(f"{out}: {size}")
    return ExitCode.DONE


def _readable(store: Path, stage: str | None, *, flat: bool) -> "xr.Dataset":
    from toolkit.stores.reading.open import open as open_store

    data = open_store(store, stage=stage, flat=flat or None)
    if objects := data.attrs.pop("objects", None):
        click.echo(
            f"Left out: {', '.join(objects)} (Python objects; read them in Python)", err=True
        )
    return data


def _require_writer(kind: str, store: Path, out: Path) -> None:
    from importlib.util import find_spec

    from toolkit.commands.machine import installer

    libraries = {".nc": ("h5netcdf", "netCDF4"), ".parquet": ("pyarrow",)}.get(kind, ())
    if libraries and not any(find_spec(name) for name in libraries):
        raise CommandError(
            f"{libraries[0]}, which writes {kind}, is not installed (then type toolkit export "
            f"{shlex.quote(str(store))} {shlex.quote(str(out))} again).",
            installer([libraries[0]]),
        )


def _write_netcdf(data: "xr.Dataset", path: Path) -> None:
    from importlib.util import find_spec

    import numpy as np

    for name, variable in data.variables.items():
        if variable.dtype.kind == "c":
            raise CommandError(
                f"{name!r} has complex numbers, which netCDF does not know. Return its real and "
                "imaginary parts as two outputs, or read the store itself with xarray.open_zarr."
            )
    packed: dict[str, Any] = {"zlib": True, "complevel": 1}
    encoding = {
        name: packed
        for name, variable in data.variables.items()
        if variable.ndim and np.issubdtype(variable.dtype, np.number)
    }
    data.to_netcdf(
        path, engine="h5netcdf" if find_spec("h5netcdf") else "netcdf4", encoding=encoding
    )


def _as_table(data: "xr.Dataset") -> "pd.DataFrame":
    import numpy as np

    from toolkit.run_status import Status

    wide = [str(name) for name, variable in data.variables.items() if set(variable.dims) - {"run"}]
    outputs = [name for name in wide if name in data.data_vars]
    if outputs:
        click.echo(
            f"Left out: {', '.join(outputs)} (with dims of their own; a .nc file has them)",
            err=True,
        )
    names = np.array([status.name.lower() for status in Status], dtype=object)
    table = data.drop_vars(wide).to_dataframe()
    if "run" not in table.columns:
        table = table.reset_index()
    for name in table.columns:
        if name == "status" or str(name).startswith("status_"):
            table[name] = names[table[name].to_numpy(dtype=int)]
    states = [name for name in table.columns if name in _STATE_COLUMNS]
    labels = [name for name in table.columns if name in data.coords and name not in states]
    values = [name for name in table.columns if name not in {*labels, *states}]
    return table[labels + values + states]


_STATE_COLUMNS = ("status", "attempts", "seconds", "peak_memory")


def _write_table(table: "pd.DataFrame", path: Path, kind: str) -> None:
    if kind == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
