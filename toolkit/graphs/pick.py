"""One output of a block as an array of fixed type: what a lazy variable shows."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import RunsFailedError, StageError, StoreError
from toolkit.graphs.along import Ints
from toolkit.graphs.block import Block
from toolkit.run_status import Status
from toolkit.stages.schema import Array, RaggedColumn, Variable, dtype_label
from toolkit.stores.reading.cells import HAS_VALUE, exact_floats, fill_of

TEXT = "T"
"""Stands for text of any length: numpy's ``StringDType``."""


def dtype_of(text: str) -> np.dtype[Any]:
    """Return the numpy type."""
    return np.dtypes.StringDType() if text == TEXT else np.dtype(text)


def shown_dtype(variable: Variable, *, gaps: bool) -> str:
    """Return the type in which an output is shown: whole numbers and bools with gaps as floats."""
    if variable.kind == "text":
        return TEXT
    return "<f8" if gaps and np.dtype(variable.dtype).kind in "biu" else variable.dtype


def pick(
    block: Block,
    name: str,
    dtype: str,
    shape: tuple[int, ...],
    errors: str,
    trims: tuple[tuple[int, int] | int, ...] | None,
) -> Array:
    """Return one output of the shown cells of a block.

    Parameters
    ----------
    block
        The block.
    name
        The output.
    dtype
        Numpy type of the result; ``"T"`` for text of any length.
    shape
        Inner shape.
    errors
        ``"raise"``, or ``"missing"`` for NaN, NaT or ``""`` where a run failed.
    trims
        For each dim of the block the positions that are shown, from and to, or the one that is
        shown without a dim; None for all.

    Raises
    ------
    RunsFailedError
        If a run that is shown failed or is blocked, unless ``errors`` says otherwise.
    StageError
        If it returned what the type cannot hold.
    """
    n_cells = math.prod(block.shape)
    runs = np.arange(n_cells) if block.owner is None else block.owner
    runs = runs.reshape(block.shape)
    if trims is not None:
        runs = runs[tuple(at if isinstance(at, int) else slice(*at) for at in trims)]
    runs = np.asarray(runs)
    flat = runs.ravel()
    there = flat >= 0
    status = np.append(block.status, np.uint8(Status.SKIPPED))[flat]
    if errors == "raise":
        _check(block, name, flat, status)
    out = np.full((len(flat), *shape), _fill(dtype), dtype_of(dtype))
    has = np.flatnonzero(HAS_VALUE[status])
    if len(has) < len(flat) and out.dtype.kind in "biu" and not (~there).all():
        _refuse_gaps(name, flat[~HAS_VALUE[status]])
    if len(has):
        out[has] = _values(block, name, flat[has], dtype)
    return out.reshape((*runs.shape, *shape))


def _check(block: Block, name: str, runs: Ints, status: npt.NDArray[np.uint8]) -> None:
    bad = runs[(status == Status.FAILED) | (status == Status.BLOCKED)]
    if len(bad):
        at = next((run for run in bad.tolist() if run in block.messages), None)
        why = "A run failed." if at is None else block.messages[at].rstrip()
        more = f"{len(bad)} of {len(runs)} runs of this block. " if len(bad) > 1 else ""
        raise RunsFailedError(
            f"{name!r} cannot be computed: {why}\n{more}sweep.lazy(errors='missing') shows failed "
            "runs as missing values; sweep.run() records them and goes on."
        )


def _refuse_gaps(name: str, runs: Ints) -> None:
    raise StageError(
        f"{len(runs)} runs have no {name!r}, because the space leaves out what they need, and "
        "whole numbers cannot be missing. Return floats, or use sweep.lazy(errors='missing')."
    )


def _fill(dtype: str) -> Any:
    return "" if dtype == TEXT else fill_of(np.dtype(dtype))


def _values(block: Block, name: str, runs: Ints, dtype: str) -> Array:
    if name not in block.schema.names:
        found = ", ".join(block.schema.names) or "nothing"
        raise StageError(f"Runs returned no {name!r}; they returned {found}.")
    column = block.columns[block.schema.names.index(name)]
    if isinstance(column, RaggedColumn):
        raise StageError(f"Output {name!r} is no array in this block. Make the Dataset again.")
    values = column[runs]
    if dtype == TEXT:
        return np.asarray(values, dtype=np.dtypes.StringDType())
    target = np.dtype(dtype)
    if values.dtype == target:
        return values
    if target.kind == "f" and values.dtype.kind in "biu":
        try:
            return exact_floats(name, values).astype(target, copy=False)
        except StoreError as error:
            raise StageError(str(error)) from None
    if values.dtype.kind == "O" or not np.can_cast(values.dtype, target):
        raise StageError(
            f"Output {name!r} is {dtype_label(values.dtype.str)} in some runs, and the lazy "
            f"Dataset took it for {dtype_label(dtype)}. Declare its type: "
            f"tk.stage(outputs={{{name!r}: …}})."
        )
    return values.astype(target)
