"""Run a batch as one call with arrays, halved where it raises until the culprits are known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from toolkit.stages.batch_pattern import batch_pattern
from toolkit.stages.call import Positions, Seeds, StageCall
from toolkit.stages.failure import PartialFailureError, is_interrupt
from toolkit.stages.infer import Reading, Rules, read_result
from toolkit.stages.patterns import Indices, Part
from toolkit.stages.schema import Columns, RaggedColumn
from toolkit.stages.torch_batch import TorchBatch, VmapRefused
from toolkit.stages.trial import Trial, is_out_of_memory

Alone = Callable[[int], Reading]


def run_together(
    call: StageCall,
    values: Mapping[str, Any],
    n: int,
    streams: Seeds | None,
    positions: Positions | None,
    trial: Trial | None = None,
) -> tuple[list[Part], dict[int, BaseException], Alone]:
    """Return what a vectorized stage returns for n runs, and the exceptions by position.

    A batch that raises is run again as two halves, down to the runs that raise alone, unless it
    says with a ``PartialFailureError`` which these are. A result that cannot be read is the fault
    of the function, not of a run: all its runs fail at once. A batch for which memory does not
    suffice is halved, and ``trial`` remembers.

    The third value runs one run in the one-by-one form: a batch of one, or torch without vmap.
    """
    trial, rules = trial or Trial(), call.rules
    batch = _Torch(call, trial) if call.vectorized == "torch" else _Arrays(call)
    batch.prepare(call.arrays(values, n, streams, positions), n)
    parts: list[Part] = []
    errors: dict[int, BaseException] = {}
    waiting = [piece for group in batch.groups() for piece in trial.pieces(group)][::-1]
    while waiting:
        runs = waiting.pop()
        try:
            result = batch.run(runs)
        except PartialFailureError as partial:
            errors |= {int(runs[at]): error for at, error in partial.errors.items()}
            result = np.delete(partial.result, list(partial.errors), axis=0)
            runs = np.delete(runs, list(partial.errors))
            if not len(runs):
                continue
        except BaseException as error:
            if is_interrupt(error):
                raise
            if len(runs) == 1 or isinstance(error, VmapRefused):
                errors |= dict.fromkeys(runs.tolist(), error)
                continue
            if is_out_of_memory(error):
                trial.limit_to(len(runs) // 2)
                del error
                batch.release()
                waiting = [piece for each in (*waiting, runs) for piece in trial.pieces(each)[::-1]]
            else:
                middle = len(runs) // 2
                waiting += [runs[middle:], runs[:middle]]
            continue
        try:
            reading = _read(result, rules, len(runs), trial)
        except BaseException as error:
            if is_interrupt(error):
                raise
            errors |= dict.fromkeys(runs.tolist(), error)
        else:
            parts.append(_part(reading, runs))

    def alone(index: int) -> Reading:
        return read_result(batch.alone(index), rules, n=1)

    return parts, errors, alone


class _Arrays:
    """A function of arrays ``(n_runs,)``."""

    def __init__(self, call: StageCall) -> None:
        self.function = call.positional_function()
        self.varies = [argument.kind != "constant" for argument in call.arguments]

    def prepare(self, arguments: Sequence[Any], n: int) -> None:
        self.arguments, self.n = arguments, n

    def groups(self) -> list[Indices]:
        return [np.arange(self.n)] if self.n else []

    def run(self, runs: Indices) -> Any:
        lo, hi = int(runs[0]), int(runs[-1]) + 1  # pieces of one group are neighbors
        some = [
            values[lo:hi] if cut and (lo, hi) != (0, self.n) else values
            for values, cut in zip(self.arguments, self.varies, strict=True)
        ]
        return self.function(*some)

    def alone(self, index: int) -> Any:
        return self.run(np.array([index]))

    def release(self) -> None:
        """There is nothing to release."""


class _Torch:
    """A torch function of one run."""

    def __init__(self, call: StageCall, trial: Trial) -> None:
        self.batch = TorchBatch(call, trial.shared)

    def prepare(self, arguments: Sequence[Any], n: int) -> None:
        self.arguments, self.n = self.batch.prepare(arguments), n

    def groups(self) -> list[Indices]:
        return self.batch.groups(self.arguments, self.n)

    def run(self, runs: Indices) -> Any:
        return self.batch.together(self.arguments, runs)

    def alone(self, index: int) -> Any:
        result = self.batch.alone(self.arguments, index)
        if isinstance(result, dict):
            return {name: value[None] for name, value in result.items()}
        return tuple(value[None] for value in result) if isinstance(result, tuple) else result[None]

    def release(self) -> None:
        self.batch.release()


def _read(result: Any, rules: Rules, n: int, trial: Trial) -> Reading:
    """Return the result of n runs by names; those like the last one are read at once."""
    if trial.pattern is not None:
        reading = trial.pattern.read(result, rules, n)
        if reading is not None:
            return reading
    reading = read_result(result, rules, n=n)
    trial.pattern = batch_pattern(result, reading, rules)
    return reading


def _part(reading: Reading, indices: Indices) -> Part:
    columns: Columns = []
    for variable, data in zip(reading.schema.variables, reading.data, strict=True):
        if variable.kind in ("ragged", "object"):
            lengths = np.array([len(item) for item in data], dtype=np.int64)
            columns.append(RaggedColumn(lengths, np.concatenate(data)))
        else:
            columns.append(data)
    return Part(reading.schema, columns, indices)
