"""The values by which a search goes, from the outputs of its runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Floats, Ids

# Reads the values of some evaluations, by their numbers, from their outputs.
Reading: TypeAlias = Callable[[Ids, Mapping[str, object]], Floats]


def read_values(
    output: str | Reading | None, evaluations: Ids, outputs: Mapping[str, object]
) -> Floats:
    """Return the values of some evaluations, shape ``(n,)``, from their outputs.

    Raises
    ------
    SweepError
        If there is no such output, or it is not one number for each run.
    """
    if callable(output):
        return output(evaluations, outputs)
    return require_values(outputs[chosen_output(output, tuple(outputs))])


def chosen_output(wanted: str | None, names: Sequence[str]) -> str:
    """Return the name of the output to minimize.

    Raises
    ------
    SweepError
        If there is none of this name, or several and none was named.
    """
    if wanted is None and len(names) == 1:
        return names[0]
    listed = ", ".join(map(repr, names)) or "none"
    if wanted is None:
        raise SweepError(f"Which output is to be minimized? There are {listed}: name it in value=.")
    if wanted not in names:
        raise SweepError(f"value={wanted!r} is no output of the objective. It has {listed}.")
    return wanted


def require_values(column: object) -> Floats:
    """Return an output of some runs as floats, shape ``(n,)``.

    Raises
    ------
    SweepError
        If it is not one number for each run.
    """
    values = np.asarray(column) if isinstance(column, np.ndarray) else np.zeros((0, 0))
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise SweepError(
            "minimize needs one number for each evaluation, and the objective returns something "
            "else. Let it return a number, such as a sum of squares, or name one with value=."
        )
    return values.astype(np.float64)
