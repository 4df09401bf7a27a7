"""Where wanted labels, and rows of labels, stand among known ones."""

from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.labels import SAME, match
from toolkit.stores.catalogues.box import Ints


def match_labels(known: Column, wanted: Column) -> Ints:
    """Return the position of each wanted label; labels that are new count on in their order."""
    positions = np.asarray(match(known.labels, wanted.labels), dtype=np.int64)
    absent = np.flatnonzero(positions < 0)
    if len(absent) == 0:
        return positions
    labels = wanted.labels[absent]
    unique, first = np.unique(labels, return_index=True)
    if unique.dtype.kind == "f" and len(unique) > 1:
        close = np.abs(np.diff(unique)) <= SAME * np.abs(unique[1:])
        first = first[np.concatenate([[True], ~close])]
    new = labels[np.sort(first)]
    positions[absent] = np.asarray(match(new, labels), dtype=np.int64) + len(known.labels)
    return positions


def match_numbers(dim: Dim, asked: Dim) -> Ints:
    """Return the row of each number of a dim that has no columns; new numbers count on."""
    positions = np.asarray(match(dim.labels, asked.labels), dtype=np.int64)
    absent = np.flatnonzero(positions < 0)
    positions[absent] = dim.size + np.arange(len(absent))
    return positions


def match_rows(pairs: list[tuple[Column, Column]], dim: Dim, copies: Ints) -> Ints:
    """Return the row that each wanted row is: equal in all columns, and the same copy."""
    n_known, n_wanted = dim.size, len(copies)
    held = copies_of(dim)
    if np.array_equal(held[:n_wanted], copies) and all(
        _equal(known.labels[:n_wanted], wanted.labels) for known, wanted in pairs
    ):
        return np.arange(n_wanted)
    code = np.concatenate([held, copies])
    for known, wanted in pairs:
        code = _combined(code, np.concatenate([known.labels, wanted.labels]))
    order = np.argsort(code[:n_known], kind="stable")
    ordered = code[:n_known][order]
    found = np.searchsorted(ordered, code[n_known:])
    found[found == n_known] = 0
    there = ordered[found] == code[n_known:]
    positions = np.where(there, order[found], -1)
    _, first, group = np.unique(code[n_known:][~there], return_index=True, return_inverse=True)
    by_appearance = np.argsort(np.argsort(first))
    positions[~there] = n_known + by_appearance[group]
    return positions


def copies_of_product(sources: list[Dim]) -> Ints:
    """Return which of several equal rows each row of these dims' product is."""
    copies = np.zeros((1,) * len(sources), dtype=np.int64)
    for axis, source in enumerate(sources):
        own = copies_of(source)
        along = (-1,) + (1,) * (len(sources) - axis - 1)
        copies = copies * (int(own.max(initial=0)) + 1) + own.reshape(along)
    return copies.ravel()


def copies_of(dim: Dim) -> Ints:
    """Return which of several equal rows each row of a dim is, 0 where no two are equal."""
    return np.zeros(dim.size, dtype=np.int64) if dim.copies is None else dim.copies


def _codes(labels: npt.NDArray[Any]) -> Ints:
    """Return one number a label, the same for equal labels (floats within 1e-12; NaN is NaN)."""
    unique, codes = np.unique(labels, return_inverse=True)
    if unique.dtype.kind != "f" or len(unique) < 2:
        return codes.astype(np.int64)
    with np.errstate(invalid="ignore"):
        apart = ~(np.diff(unique) <= SAME * np.abs(unique[1:]))
    groups = np.zeros(len(unique), dtype=np.int64)
    groups[1:] = np.cumsum(apart)
    numbers: Ints = groups[codes]
    return numbers


def _combined(code: Ints, labels: npt.NDArray[Any]) -> Ints:
    """Return numbers that are equal where both the code and the label are."""
    codes = _codes(labels)
    _, combined = np.unique(code * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    numbers: Ints = combined.astype(np.int64)
    return numbers


def _equal(known: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> bool:
    if known.dtype.kind == "f":
        return bool(((known == wanted) | ((known != known) & (wanted != wanted))).all())
    return np.array_equal(known, wanted)
