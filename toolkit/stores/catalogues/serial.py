"""Catalogues as JSON and plain arrays, and back. Nothing here is ever pickled."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import StoreError
from toolkit.spaces.axis import Column, Dim
from toolkit.stores.catalogues.block import Block, Product, Table
from toolkit.stores.catalogues.box import Positions
from toolkit.stores.catalogues.held_field import HeldField
from toolkit.stores.catalogues.matching import NOT_STORED

Arrays = Mapping[str, npt.NDArray[Any]]

_DTYPE = re.compile(r"[<>|=]?[A-Za-z?]+[0-9]{0,9}(\[[0-9]{0,9}[A-Za-z]{0,9}\])?")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def to_json(
    dims: Sequence[Dim], blocks: Sequence[Block], fields: Sequence[HeldField]
) -> dict[str, Any]:
    """Return the structure of a catalogue; arrays are named, see :func:`stored_arrays`."""
    keys = _keys(dims, fields)
    return {
        "dims": [
            {
                "name": dim.name,
                "size": dim.size,
                "kind": dim.kind,
                "common": dim.common,
                "numbers": dim.numbers is not None,
                "copies": dim.copies is not None,
                "columns": [
                    {
                        "name": column.name,
                        "labels": keys[column.name],
                        "dtype": column.labels.dtype.str,
                        "objects": column.objects is not None,
                        "required": column.required,
                        "attrs": {str(k): _plain(v) for k, v in column.attrs.items()},
                    }
                    for column in dim.columns
                ],
            }
            for dim in dims
        ],
        "blocks": [_block_to_json(block) for block in blocks],
        "fields": [
            {
                "name": field.name,
                "dims": list(field.dims),
                "values": None if field.values is None else keys[field.name],
                "dtype": "" if field.values is None else field.values.dtype.str,
            }
            for field in fields
        ],
    }


def stored_arrays(
    dims: Sequence[Dim], blocks: Sequence[Block], fields: Sequence[HeldField]
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that :func:`to_json` names."""
    keys = _keys(dims, fields)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for number, dim in enumerate(dims):
        for column in dim.columns:
            arrays[keys[column.name]] = _encoded(column.labels)
        if dim.numbers is not None:
            arrays[f"numbers-{number}"] = dim.numbers
        if dim.copies is not None:
            arrays[f"copies-{number}"] = dim.copies
    for block in blocks:
        if isinstance(block, Table):
            arrays[f"rows-{block.start}"] = block.rows
            continue
        for number, axis in enumerate(block.box):
            if not isinstance(axis, range):
                arrays[f"positions-{block.start}-{number}"] = axis
        if block.kept is not None:
            arrays[f"kept-{block.start}"] = block.kept
    for field in fields:
        if field.values is not None and field.known is not None:
            arrays[keys[field.name]] = _encoded(field.values)
            arrays[f"known-{keys[field.name]}"] = field.known
    return arrays


def from_json(
    document: Mapping[str, Any], arrays: Arrays
) -> tuple[tuple[Dim, ...], tuple[Block, ...], tuple[HeldField, ...]]:
    """Return dims, blocks and fields; raise StoreError for what does not describe them."""
    try:
        dims = tuple(_dim_from(number, d, arrays) for number, d in enumerate(document["dims"]))
        sizes = [dim.size for dim in dims]
        blocks, start = [], 0
        for described in document["blocks"]:
            block = _block_from(described, arrays, sizes)
            if block.start != start or len(block) == 0:
                raise ValueError(f"a block of runs begins at {block.start}, not at {start}")
            start += len(block)
            blocks.append(block)
        if start > math.prod(size + 1 for size in sizes):
            raise ValueError(f"{start} runs for dims of {sizes} labels")
        fields = tuple(_field_from(d, arrays, sizes) for d in document["fields"])
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError,
    ) as error:  # fmt: skip
        raise StoreError(
            f"The store's record of its axes is damaged ({type(error).__name__}: {error}). "
            "Restore the store from a copy."
        ) from error
    return dims, tuple(blocks), fields


def _keys(dims: Sequence[Dim], fields: Sequence[HeldField]) -> dict[str, str]:
    """Return a file name for each parameter: its own, where that can be one."""
    names = [column.name for dim in dims for column in dim.columns]
    names += [field.name for field in fields]
    reserved = re.compile(r"(numbers|copies|rows|positions|kept|known|parameter)-.*")
    folded = [name.casefold() for name in names]
    return {
        name: name
        if _PLAIN_NAME.fullmatch(name)
        and not reserved.fullmatch(name)
        and folded.count(name.casefold()) == 1
        else f"parameter-{number}"
        for number, name in enumerate(names)
    }


def _encoded(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return labels.view(np.int64) if labels.dtype.kind in "mM" else labels


def _decoded(array: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):  # NumPy parses more than that
        raise ValueError(f"labels of dtype {str(dtype)[:80]!r}")
    wanted = np.dtype(dtype)
    if wanted.kind in "mM":
        return np.asarray(array, dtype=np.int64).view(wanted)
    if wanted.kind == "U":
        return np.asarray(array).astype(np.str_)
    if wanted.kind not in "biuf":
        raise ValueError(f"labels of dtype {dtype!r}")
    return np.asarray(array).astype(wanted, copy=False)


def _block_to_json(block: Block) -> dict[str, Any]:
    if isinstance(block, Table):
        return {"start": block.start, "rows": len(block)}
    box = [[axis.start, axis.stop] if isinstance(axis, range) else None for axis in block.box]
    return {"start": block.start, "box": box, "masked": block.kept is not None}


def _block_from(described: Mapping[str, Any], arrays: Arrays, sizes: list[int]) -> Block:
    start = int(described["start"])
    if "rows" in described:
        rows = np.asarray(arrays[f"rows-{start}"], dtype=np.int64)
        if rows.shape != (described["rows"], len(sizes)):
            raise ValueError(f"a table of shape {rows.shape}")
        for dim, size in enumerate(sizes):
            _check_inside(rows[:, dim], size)
        return Table(start=start, rows=rows)
    if len(described["box"]) != len(sizes):
        raise ValueError(f"a box of {len(described['box'])} dims")
    box: list[Positions] = []
    for number, (ends, size) in enumerate(zip(described["box"], sizes, strict=True)):
        if ends is None:
            axis = np.asarray(arrays[f"positions-{start}-{number}"], dtype=np.int64)
            _check_inside(axis, size)
            box.append(axis)
        else:
            first, stop = int(ends[0]), int(ends[1])
            if (first, stop) != (-1, 0) and not 0 <= first <= stop <= size:
                raise ValueError(f"positions {first} to {stop} of {size}")
            box.append(range(first, stop))
    kept = None
    if described["masked"]:
        kept = np.asarray(arrays[f"kept-{start}"], dtype=np.uint8)
    block = Product(start=start, box=tuple(box), kept=kept)
    if kept is not None and kept.shape != ((len(block) + 7) // 8,):
        raise ValueError(f"a mask of {kept.shape} bytes for {len(block)} runs")
    return block


def _check_inside(positions: npt.NDArray[np.int64], size: int) -> None:
    if len(positions) and (int(positions.min()) < -1 or int(positions.max()) >= size):
        raise ValueError(f"a position outside of 0 to {size - 1}")


def _dim_from(number: int, described: Mapping[str, Any], arrays: Arrays) -> Dim:
    size = int(described["size"])
    columns = []
    for column in described["columns"]:
        labels = _decoded(arrays[column["labels"]], column["dtype"])
        if labels.shape != (size,):
            raise ValueError(f"{labels.shape} labels of {column['name']!r} for {size} positions")
        columns.append(
            Column(
                name=str(column["name"]),
                labels=labels,
                objects=(NOT_STORED,) * size if column["objects"] else None,
                attrs=dict(column["attrs"]),
                required=bool(column["required"]),
            )
        )
    if described["kind"] not in ("axis", "rows", "constant", "replicates"):
        raise ValueError(f"a dim of kind {described['kind']!r}")
    numbers = arrays[f"numbers-{number}"] if described["numbers"] else None
    copies = arrays[f"copies-{number}"] if described["copies"] else None
    for array in (numbers, copies):
        if array is not None and array.shape != (size,):
            raise ValueError(f"{array.shape} row numbers for {size} positions")
    return Dim(
        name=str(described["name"]),
        size=size,
        columns=tuple(columns),
        kind=described["kind"],
        common=bool(described["common"]),
        numbers=numbers,
        copies=copies,
    )


def _field_from(described: Mapping[str, Any], arrays: Arrays, sizes: list[int]) -> HeldField:
    name, dims = str(described["name"]), tuple(int(dim) for dim in described["dims"])
    if described["values"] is None:
        return HeldField(name=name, dims=dims)
    values = _decoded(arrays[described["values"]], described["dtype"])
    known = np.asarray(arrays[f"known-{described['values']}"], dtype=bool)
    shape = tuple(sizes[dim] for dim in dims)
    if values.shape != shape or known.shape != shape:
        raise ValueError(f"values of {name!r} of shape {values.shape}, not {shape}")
    return HeldField(name=name, dims=dims, values=values, known=known)


def _plain(value: object) -> object:
    """Return an attribute as JSON can hold it."""
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(part) for part in value]
    return str(value)
