"""Run a batch as one call with arrays, halved where it raises until the culprits are known."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.stages.call import Positions, Seeds, StageCall
from toolkit.stages.infer import Reading, read_result
from toolkit.stages.patterns import Indices, Part
from toolkit.stages.schema import Columns, RaggedColumn


def run_together(
    call: StageCall,
    values: Mapping[str, Any],
    n: int,
    streams: Seeds | None,
    positions: Positions | None,
) -> tuple[list[Part], dict[int, BaseException]]:
    """Return what a vectorized stage returns for n runs, and the exceptions by position.

    A batch that raises is run again as two halves, down to the runs that raise alone. A result
    that cannot be read is the fault of the function, not of a run: all its runs fail at once.
    """
    function = call.positional_function()
    arguments = call.arrays(values, n, streams, positions)
    varies = [argument.kind != "constant" for argument in call.arguments]
    parts: list[Part] = []
    errors: dict[int, BaseException] = {}
    waiting = [(0, n)] if n else []
    while waiting:
        lo, hi = waiting.pop()
        some = [
            values[lo:hi] if cut and (lo, hi) != (0, n) else values
            for values, cut in zip(arguments, varies, strict=True)
        ]
        try:
            result = function(*some)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  (any exception is the runs' failure)
            if hi - lo == 1:
                errors[lo] = error
            else:
                middle = (lo + hi) // 2
                waiting += [(middle, hi), (lo, middle)]
            continue
        try:
            reading = read_result(result, call.rules, n=hi - lo)
        except Exception as error:  # noqa: BLE001  (odd objects raise odd things when looked at)
            errors |= dict.fromkeys(range(lo, hi), error)
        else:
            parts.append(_part(reading, np.arange(lo, hi)))
    return parts, errors


def _part(reading: Reading, indices: Indices) -> Part:
    columns: Columns = []
    for variable, data in zip(reading.schema.variables, reading.data, strict=True):
        if variable.kind in ("ragged", "object"):
            lengths = np.array([len(item) for item in data], dtype=np.int64)
            columns.append(RaggedColumn(lengths, np.concatenate(data)))
        else:
            columns.append(data)
    return Part(reading.schema, columns, indices)
