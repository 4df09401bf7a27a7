"""The influenza outbreak of 1978 in an English boarding school, and the model that is swept.

Every day from 22 January to 4 February 1978 the school counted the boys who lay ill in bed.
Data: Influenza in a boarding school, British Medical Journal 1978;1:587.

Workers load this file: it names types of the toolkit in quotes, so as not to load them all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

import toolkit as tk

BOYS = 763
IN_BED = (3, 8, 26, 76, 225, 298, 258, 233, 189, 128, 68, 29, 14, 4)
FIRST_DAY = "22 January 1978"
STEPS_PER_DAY = 12


def sir(beta: float, gamma: float, infected: float) -> dict[str, object]:
    """Follow the outbreak from its first day and compare it with the boys in bed.

    Of the N boys, S are susceptible and I infected: beta S I / N catch it a day, gamma I recover.
    The classical Runge-Kutta method takes a step every two hours; it is off by 0.01 boys at most.

    Parameters
    ----------
    beta
        Transmission rate, per day.
    gamma
        Recovery rate, per day.
    infected
        Boys infected on the first day.

    Returns
    -------
    dict
        ``misfit``, root mean square difference to the counts, in boys; ``in_bed``, infected boys
        on each day, shape ``(14,)``; ``peak_day``, when most are infected, days after the first.
    """
    caught_per_pair = beta / BOYS
    step = 1 / STEPS_PER_DAY
    s, i = BOYS - infected, infected
    in_bed, highest, peak_day = [i], i, 0.0
    for n in range(1, (len(IN_BED) - 1) * STEPS_PER_DAY + 1):
        caught1 = caught_per_pair * s * i
        change1 = caught1 - gamma * i
        i2 = i + step / 2 * change1
        caught2 = caught_per_pair * (s - step / 2 * caught1) * i2
        change2 = caught2 - gamma * i2
        i3 = i + step / 2 * change2
        caught3 = caught_per_pair * (s - step / 2 * caught2) * i3
        change3 = caught3 - gamma * i3
        i4 = i + step * change3
        caught4 = caught_per_pair * (s - step * caught3) * i4
        change4 = caught4 - gamma * i4
        s -= step / 6 * (caught1 + 2 * caught2 + 2 * caught3 + caught4)
        i += step / 6 * (change1 + 2 * change2 + 2 * change3 + change4)
        if i > highest:
            highest, peak_day = i, n * step
        if n % STEPS_PER_DAY == 0:
            in_bed.append(i)
    squares = sum((model - count) ** 2 for model, count in zip(in_bed, IN_BED, strict=True))
    return {
        "misfit": (squares / len(IN_BED)) ** 0.5,
        "in_bed": np.array(in_bed),
        "peak_day": peak_day,
    }


def space() -> "tk.Space":
    """Return the grid: 61 transmission rates, 81 recovery rates, 13 beginnings; 64,233 runs."""
    first = [1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8]
    return tk.grid(
        beta=_Axis(np.linspace(1.2, 2.4, 61), "transmission rate β", "per day"),
        gamma=_Axis(np.linspace(0.25, 0.65, 81), "recovery rate γ", "per day"),  # noqa: RUF001 - not a y
        infected=_Axis(np.array(first), "infected on the first day", "boys"),
    )


def study(over: "tk.Space | None" = None, *, store: str | None = "flu.zarr") -> "tk.Sweep":
    """Return the sweep, over :func:`space` unless another is given."""
    days = np.arange(len(IN_BED))
    outputs = {
        "misfit": tk.Output(float, units="boys", long_name="misfit"),
        "in_bed": tk.Output(float, "day", "boys", "infected", coords={"day": days}),
        "peak_day": tk.Output(float, units="days", long_name=f"peak after {FIRST_DAY}"),
    }
    stage = tk.stage(sir, outputs=outputs)
    return tk.Sweep(stage, space() if over is None else over, store=store)


@dataclass(frozen=True)
class _Axis:
    """Labels with a name and a unit, as an ``xarray.DataArray`` has them.

    One of those would do the same; xarray takes seconds to load on a slow machine, and a demo that
    has nothing left to run does not need it.
    """

    values: np.ndarray[Any, np.dtype[Any]]
    long_name: str
    units: str

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.values)

    @property
    def attrs(self) -> Mapping[str, str]:
        return {"long_name": self.long_name, "units": self.units}

    def __array__(self, *_args: object, **_kwargs: object) -> np.ndarray[Any, np.dtype[Any]]:
        return self.values
