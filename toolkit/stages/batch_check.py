"""Hold a batch against its runs one by one: what a batch changes is an error."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolkit.errors import StageError
from toolkit.stages.infer import Reading
from toolkit.stages.patterns import Part
from toolkit.stages.schema import Array, RaggedColumn

# How far values may be apart, relative to the largest of the output in the batch: sums that are
# taken in another order differ by rounding. Whole numbers, bools, text and dates are the same.
TOLERANCE = {8: 1e-9, 16: 1e-9, 4: 1e-4, 2: 1e-2}
_N_RUNS = 3


def check_batch(
    stage: str,
    parts: Sequence[Part],
    n: int,
    alone: Callable[[int], Reading],
    labels: Callable[[int], dict[str, object]],
) -> bool:
    """Compare the first, a middle and the last run of a batch with themselves run alone.

    Returns
    -------
    bool
        Whether there was something to compare: at least two runs that succeeded.

    Raises
    ------
    StageError
        It names the first run that differs, with its labels and both values.
    """
    rows = {int(i): (part, row) for part in parts for row, i in enumerate(part.indices)}
    if n < 2 or len(rows) < 2:
        return False
    done = sorted(rows)
    for index in sorted({done[round(k)] for k in np.linspace(0, len(done) - 1, _N_RUNS)}):
        part, row = rows[index]
        try:
            reading = alone(index)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise StageError(
                f"Stage {stage!r} is vectorized, and the run {_said(labels(index))} raises "
                f"{type(error).__name__}: {error} where it runs alone; in a batch of {n} runs it "
                "does not. A batch must return for each run what the run returns alone."
            ) from error
        _compare(stage, part, row, reading, n, labels(index))
    return True


def _compare(
    stage: str, part: Part, row: int, reading: Reading, n: int, labels: dict[str, object]
) -> None:
    found = dict(zip(reading.schema.names, reading.data, strict=True))
    for variable, column in zip(part.schema.variables, part.columns, strict=True):
        if variable.kind == "object":
            continue
        together = column.row(row) if isinstance(column, RaggedColumn) else np.asarray(column[row])
        alone = np.asarray(found[variable.name][0]) if variable.name in found else None
        scale = _scale(column.values if isinstance(column, RaggedColumn) else column)
        if alone is None or not _is_close(together, alone, scale):
            tolerance = _tolerance(together.dtype)
            how = f", within {tolerance:.0e} of the largest value" if tolerance else ""
            raise StageError(
                f"Stage {stage!r} is vectorized, and {variable.name!r} of the run "
                f"{_said(labels)} depends on the batch: {_text(together)} in a batch of {n} runs, "
                f"{_text(alone)} alone. A batch must return for each run what the run returns "
                f"alone{how}: do not mix runs along the first dim, and draw with "
                "tk.draws(run_seed), not from a generator that the runs share."
            )


def _is_close(together: Array, alone: Array, scale: float) -> bool:
    if together.shape != alone.shape:
        return False
    if together.dtype.kind not in "fc" or alone.dtype.kind not in "fc":
        return bool(np.array_equal(together, alone))
    tolerance = max(_tolerance(together.dtype), _tolerance(alone.dtype))
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(
            np.allclose(together, alone, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
        )


def _tolerance(dtype: Any) -> float:
    if dtype.kind not in "fc":
        return 0.0
    return TOLERANCE.get(dtype.itemsize // (2 if dtype.kind == "c" else 1), 1e-9)


def _scale(column: Array) -> float:
    if column.dtype.kind not in "fc" or not column.size:
        return 0.0
    sizes = np.abs(column)
    sizes = sizes[np.isfinite(sizes)]
    return float(sizes.max()) if sizes.size else 0.0


def _said(labels: dict[str, object]) -> str:
    plain = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in labels.items()
    }
    return ", ".join(f"{name}={value!r}" for name, value in plain.items()) or "(no labels)"


def _text(values: Array | None) -> str:
    if values is None:
        return "missing"
    flat = values.reshape(-1)
    shown = ", ".join(str(value) for value in flat[:4].tolist())
    if values.ndim == 0:
        return shown
    return f"[{shown}{', …' if flat.size > 4 else ''}] of shape {values.shape}"
