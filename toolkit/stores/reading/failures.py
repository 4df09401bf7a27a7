"""Failed runs as a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.stores.runs.stage_runs import StageRuns

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "stage", "run", "reason", "exception", "message", "traceback", "exit_code", "log",
    "attempts", "tier", "peak_memory", "host",
)  # fmt: skip


def failures_frame(runs: StageRuns | None, ids: NDArray[np.int64]) -> "pd.DataFrame":
    """Return one row for each failed run among ``ids``: its labels, then ``COLUMNS``.

    ``reason`` is ``"exception"``, ``"walltime"``, ``"memory"`` or ``"worker died"``;
    ``exit_code`` is that of the worker that died in the run, minus the signal's number where a
    signal ended it, and ``log`` its last lines; ``peak_memory`` is in bytes, NaN where it is not
    known; ``exit_code``, ``log`` and ``tier`` are empty where there is none.
    """
    import pandas as pd

    if runs is None:
        return pd.DataFrame(columns=list(COLUMNS))
    wanted = set(ids.tolist())
    found = [record for record in runs.failures() if record["run"] in wanted]
    failed = np.array([record["run"] for record in found], np.int64)
    table: dict[str, Any] = {}
    for name, (labels, inactive) in runs.catalogue.labels(failed).items():
        column = pd.Series(labels)
        table[name] = column.where(~inactive, None) if inactive.any() else column
    table.update(
        stage=runs.name,
        run=failed,
        reason=[_reason(record) for record in found],
        exception=[record["exception"] for record in found],
        message=[record["message"] for record in found],
        traceback=[record.get("traceback", "") for record in found],
        exit_code=pd.Series([record.get("exit_code") for record in found], dtype=object),
        log=[record.get("log", "") for record in found],
        attempts=runs.state.attempts[failed],
        tier=[record.get("tier", "") for record in found],
        peak_memory=runs.state.peak_memory[failed],
        host=[record.get("host", "") for record in found],
    )
    return pd.DataFrame(table)


def _reason(record: dict[str, Any]) -> str:
    """Return why a run failed; records of older stores do not say it."""
    before = "worker died" if record.get("exception") == "WorkerDied" else "exception"
    return str(record.get("reason", before))


def joined(frames: "Sequence[pd.DataFrame]") -> "pd.DataFrame":
    """Return the failed runs of several stages one after the other."""
    import pandas as pd

    filled = [frame for frame in frames if len(frame)]
    if not filled:
        return frames[0] if frames else failures_frame(None, np.zeros(0, dtype=np.int64))
    return pd.concat(filled, ignore_index=True) if len(filled) > 1 else filled[0]
