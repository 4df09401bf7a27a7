"""Results of vectorized batches that look like an earlier one, read by what was learned from it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.stages.infer import Reading, Rules
from toolkit.stages.schema import Array, Schema, dtype_text


@dataclass(frozen=True, kw_only=True)
class BatchPattern:
    """One array, or a dict of arrays, of plain numbers: inferred names, types and inner shapes.

    Parameters
    ----------
    rules
        What the result was held against.
    schema
        What was read of it.
    container
        Its type: an array or a dict.
    names
        Of its arrays, in its order.
    arrays
        Type and inner shape of each.
    """

    rules: Rules
    schema: Schema
    container: type[Any]
    names: tuple[str, ...]
    arrays: tuple[tuple[np.dtype[Any], tuple[int, ...]], ...]

    def read(self, result: Any, rules: Rules, n: int) -> Reading | None:
        """Return the reading of ``n`` runs, None where the result looks otherwise.

        As of every reading the arrays are copies: a function may use its own again.
        """
        if type(result) is not self.container or rules != self.rules:
            return None
        values: tuple[Any, ...] = (result,)
        if self.container is dict:
            if tuple(result) != self.names:
                return None
            values = tuple(result.values())
        for value, (dtype, inner) in zip(values, self.arrays, strict=True):
            if type(value) is not np.ndarray or value.dtype != dtype or value.shape != (n, *inner):
                return None
        return Reading(self.schema, [value.copy() for value in values])


def batch_pattern(result: Any, reading: Reading, rules: Rules) -> BatchPattern | None:
    """Return how to read results like this one, None where each has to be looked at."""
    container = type(result)
    if rules.declared is not None or container not in (np.ndarray, dict):
        return None
    values = tuple(result.values()) if container is dict else (result,)
    if not all(map(_is_plain, values)):
        return None
    return BatchPattern(
        rules=rules,
        schema=reading.schema,
        container=container,
        names=tuple(result) if container is dict else (),
        arrays=tuple((value.dtype, value.shape[1:]) for value in values),
    )


def _is_plain(value: Any) -> bool:
    """Whether an array is stored as it is."""
    if type(value) is not np.ndarray:
        return False
    array: Array = value
    return array.dtype.kind in "biufc" and array.dtype.str == dtype_text(array.dtype)
