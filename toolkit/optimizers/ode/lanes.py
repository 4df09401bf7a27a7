"""Dormand and Prince's method 5(4) over lanes, compiled by numba around a right-hand side.

Coefficients, starting step and dense output are those of Hairer, Nørsett and Wanner, Solving
Ordinary Differential Equations I (2nd edition, 1993), sections II.4 to II.6. Each lane has its own
steps: their size follows the error of the lane alone, and is not cut at the times of the data.
"""

from typing import Any

import numpy as np
from numba import njit

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}

_SAFETY, _LEAST_FACTOR, _MOST_FACTOR = 0.9, 0.2, 10.0
_EPSILON = float(np.finfo(np.float64).eps)


def lanes_of(derivative: Any, n_states: int) -> Any:
    """Return the compiled loop over lanes; it is compiled when it is first called.

    Parameters
    ----------
    derivative
        Compiled, called as ``derivative(t, u, params, du)``; writes ``du``, shape ``(n_states,)``.
    n_states
        How many states there are.
    """

    @njit(inline="always")
    def size_of(vector: Any, scale: Any) -> Any:
        total = 0.0
        for j in range(n_states):
            total += (vector[j] / scale[j]) ** 2
        return (total / n_states) ** 0.5

    @njit(**OPTIONS)  # type: ignore[untyped-decorator]
    def first_step(
        t: float,
        u: Any,
        k1: Any,
        params: Any,
        span: float,
        rtol: float,
        atol: float,
        scale: Any,
        trial: Any,
        k2: Any,
    ) -> float:
        for j in range(n_states):
            scale[j] = atol + rtol * abs(u[j])
        size, speed = size_of(u, scale), size_of(k1, scale)
        h = 1e-6 if size < 1e-5 or speed < 1e-5 else 0.01 * size / speed
        h = min(h, span)
        for j in range(n_states):
            trial[j] = u[j] + h * k1[j]
        derivative(t + h, trial, params, k2)
        for j in range(n_states):
            trial[j] = k2[j] - k1[j]
        bend = size_of(trial, scale) / h
        most = max(speed, bend)
        longer = max(1e-6, h * 1e-3) if most <= 1e-15 else (0.01 / most) ** 0.2
        found = min(100 * h, longer, span)
        return found if found > 0 else 1e-6 * span

    @njit(**OPTIONS)  # type: ignore[untyped-decorator]
    def integrate(
        params: Any,
        initial: Any,
        t0: float,
        times: Any,
        data: Any,
        weights: Any,
        rtol: float,
        atol: float,
        max_steps: int,
        first: int,
        last: int,
        squares: Any,
        values: Any,
        ended: Any,
        reached: Any,
        steps: Any,
    ) -> None:
        n_times = len(times)
        end = times[n_times - 1]
        keep = values.shape[0] > 0
        work = np.empty((15, n_states))
        k1, k2, k3, k4, k5, k6, k7 = (
            work[0],
            work[1],
            work[2],
            work[3],
            work[4],
            work[5],
            work[6],
        )
        u, new, trial, scale = work[7], work[8], work[9], work[10]
        c2, c3, c4, c5 = work[11], work[12], work[13], work[14]
        for lane in range(first, last):
            p = params[lane]
            total = squares[lane]
            for j in range(n_states):
                u[j] = initial[lane, j]
                total[j] = 0.0
            t, at, n_steps, why = t0, 0, 0, 0
            while at < n_times and times[at] <= t0:
                for j in range(n_states):
                    total[j] += weights[j, at] * (data[j, at] - u[j]) ** 2
                    if keep:
                        values[lane, j, at] = u[j]
                at += 1
            h = 0.0
            if at < n_times:
                derivative(t, u, p, k1)
                h = first_step(t, u, k1, p, end - t, rtol, atol, scale, trial, k2)
                if not np.isfinite(h):
                    why = 3
            rejected = False
            while at < n_times and why == 0:
                if n_steps >= max_steps:
                    why = 1
                    break
                if h < 10 * _EPSILON * max(abs(t), abs(end - t0) * 1e-3):
                    why = 2
                    break
                n_steps += 1
                arrives = t + h >= end or end - t - h < 10 * _EPSILON * abs(end)
                if arrives:
                    h = end - t
                for j in range(n_states):
                    trial[j] = u[j] + h * (0.2 * k1[j])
                derivative(t + 0.2 * h, trial, p, k2)
                for j in range(n_states):
                    trial[j] = u[j] + h * (3 / 40 * k1[j] + 9 / 40 * k2[j])
                derivative(t + 0.3 * h, trial, p, k3)
                for j in range(n_states):
                    trial[j] = u[j] + h * (44 / 45 * k1[j] - 56 / 15 * k2[j] + 32 / 9 * k3[j])
                derivative(t + 0.8 * h, trial, p, k4)
                for j in range(n_states):
                    trial[j] = u[j] + h * (
                        19372 / 6561 * k1[j]
                        - 25360 / 2187 * k2[j]
                        + 64448 / 6561 * k3[j]
                        - 212 / 729 * k4[j]
                    )
                derivative(t + 8 / 9 * h, trial, p, k5)
                for j in range(n_states):
                    trial[j] = u[j] + h * (
                        9017 / 3168 * k1[j]
                        - 355 / 33 * k2[j]
                        + 46732 / 5247 * k3[j]
                        + 49 / 176 * k4[j]
                        - 5103 / 18656 * k5[j]
                    )
                derivative(t + h, trial, p, k6)
                for j in range(n_states):
                    new[j] = u[j] + h * (
                        35 / 384 * k1[j]
                        + 500 / 1113 * k3[j]
                        + 125 / 192 * k4[j]
                        - 2187 / 6784 * k5[j]
                        + 11 / 84 * k6[j]
                    )
                derivative(t + h, new, p, k7)
                error = 0.0
                for j in range(n_states):
                    off = h * (
                        71 / 57600 * k1[j]
                        - 71 / 16695 * k3[j]
                        + 71 / 1920 * k4[j]
                        - 17253 / 339200 * k5[j]
                        + 22 / 525 * k6[j]
                        - 1 / 40 * k7[j]
                    )
                    error += (off / (atol + rtol * max(abs(u[j]), abs(new[j])))) ** 2
                error /= n_states
                if not np.isfinite(error):
                    h *= _LEAST_FACTOR
                    rejected = True
                    if h < 1e-12 * (end - t0):
                        why = 3
                    continue
                factor = _SAFETY * error**-0.1 if error > 0 else _MOST_FACTOR
                if error >= 1:
                    h *= max(factor, _LEAST_FACTOR)
                    rejected = True
                    continue
                later = end if arrives else t + h
                if times[at] <= later:
                    for j in range(n_states):
                        c2[j] = new[j] - u[j]
                        c3[j] = h * k1[j] - c2[j]
                        c4[j] = c2[j] - h * k7[j] - c3[j]
                        c5[j] = h * (
                            -12715105075 / 11282082432 * k1[j]
                            + 87487479700 / 32700410799 * k3[j]
                            - 10690763975 / 1880347072 * k4[j]
                            + 701980252875 / 199316789632 * k5[j]
                            - 1453857185 / 822651844 * k6[j]
                            + 69997945 / 29380423 * k7[j]
                        )
                    while at < n_times and times[at] <= later:
                        x = (times[at] - t) / h
                        rest = 1 - x
                        for j in range(n_states):
                            value = u[j] + x * (c2[j] + rest * (c3[j] + x * (c4[j] + rest * c5[j])))
                            total[j] += weights[j, at] * (data[j, at] - value) ** 2
                            if keep:
                                values[lane, j, at] = value
                        at += 1
                t = later
                for j in range(n_states):
                    u[j] = new[j]
                    k1[j] = k7[j]
                h *= min(factor, 1.0 if rejected else _MOST_FACTOR)
                rejected = False
            if why != 0:
                for j in range(n_states):
                    total[j] = np.nan
                if keep:
                    values[lane, :, at:] = np.nan
            ended[lane] = why
            reached[lane] = t
            steps[lane] = n_steps

    return integrate
