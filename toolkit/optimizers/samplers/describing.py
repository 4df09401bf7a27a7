"""Arguments of samplers, checked; and likelihoods read from outputs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from toolkit.errors import SpaceError, SweepError
from toolkit.optimizers.generational import Floats, Ids
from toolkit.optimizers.search_space import SearchSpace
from toolkit.spaces.build import unknown


def prior_of(prior: object, sampler: str) -> SearchSpace:
    """Return the space of a prior.

    Raises
    ------
    SpaceError
        If it is no mapping of parameters to distributions.
    """
    if not isinstance(prior, Mapping) or not prior:
        raise SpaceError(
            f"{sampler}: prior={prior!r} must be a mapping of parameters to distributions, such as "
            "{'rate': tk.log(0.01, 10), 'shift': tk.normal(0, 1), 'share': (0, 1)}."
        )
    return SearchSpace.of(prior)


def count_of(name: str, value: object, least: int) -> int:
    """Return a whole number of at least ``least``.

    Raises
    ------
    SweepError
        If it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise SweepError(f"{name}={value!r} must be a whole number of at least {least:,}.")
    return int(value)


def number_of(name: str, value: object, low: float, high: float = np.inf) -> float:
    """Return a number above ``low`` and below ``high``.

    Raises
    ------
    SweepError
        If it is none.
    """
    is_number = isinstance(value, int | float | np.integer | np.floating)
    if isinstance(value, bool) or not is_number or not low < value < high:  # type: ignore[operator]
        below = "" if high == np.inf else f" and below {high:g}"
        raise SweepError(f"{name}={value!r} must be a number above {low:g}{below}.")
    return float(value)  # type: ignore[arg-type]


def choice_of(name: str, value: str, known: tuple[str, ...]) -> str:
    """Return one of some words.

    Raises
    ------
    SweepError
        If it is none of them.
    """
    if value not in known:
        raise SweepError(str(unknown(f"{name}: the word", value, known)))
    return value


class LogLikelihoods:
    """Reads log-likelihoods from outputs.

    Parameters
    ----------
    output
        Its name, None for the only one.
    sampler
        Who wants them.
    """

    def __init__(self, output: str | None, sampler: str) -> None:
        self._output, self._sampler = output, sampler

    def __call__(self, evaluations: Ids, outputs: Mapping[str, Any]) -> Floats:
        """Return the log-likelihood of some runs, NaN where it is none.

        Raises
        ------
        SweepError
            If there is no such output, or it is not one number for each run.
        """
        listed = ", ".join(map(repr, outputs)) or "none"
        name = self._output
        if name is None:
            if len(outputs) != 1:
                raise SweepError(
                    f"Which output is the log-likelihood? There are {listed}: name it in value=."
                )
            (name,) = outputs
        if name not in outputs:
            raise SweepError(f"value={name!r} is no output of the function. It has {listed}.")
        values = np.asarray(outputs[name]) if isinstance(outputs[name], np.ndarray) else None
        if values is None or values.shape != evaluations.shape or values.dtype.kind not in "biuf":
            raise SweepError(
                f"{self._sampler} needs one number for each evaluation, and the function returns "
                "something else. Let it return the logarithm of the likelihood."
            )
        numbers = values.astype(np.float64)
        return np.where(numbers == np.inf, np.nan, numbers)  # of no likelihood
