"""The engine ``"torch"``: all lanes as one tensor, on any device."""

import math
from typing import Any

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.ode.observations import Observations
from toolkit.optimizers.ode.solutions import Ended, Floats, Solutions, Tolerances
from toolkit.optimizers.ode.system import System
from toolkit.optimizers.ode.tracing import NotTracedError, evaluate, traced

# The rows of Dormand and Prince's 5(4), then the error and the dense output of Hairer, Nørsett
# and Wanner, as in the compiled loop.
_NODES = (0.0, 0.2, 0.3, 0.8, 8 / 9, 1.0, 1.0)
_ROWS = (
    (),
    (0.2,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_DENSE = (
    -12715105075 / 11282082432,
    0.0,
    87487479700 / 32700410799,
    -10690763975 / 1880347072,
    701980252875 / 199316789632,
    -1453857185 / 822651844,
    69997945 / 29380423,
)


class TorchEngine:
    """Dormand and Prince's method 5(4), a step of all lanes at once, each with its own size.

    Worth it for thousands of lanes on a GPU, and for right-hand sides that are torch modules: on a
    CPU the compiled loop is far ahead.

    Parameters
    ----------
    system, observations, tolerances
        What is integrated. A right-hand side made of arithmetic and functions of NumPy is traced;
        another one is called with tensors: ``u`` of shape ``(n_states, n)``, each of ``p`` of
        shape ``(n,)``.

    Raises
    ------
    SweepError
        If torch is not installed, or the system is text.
    """

    name = "torch"
    compile_seconds = 0.0

    def __init__(self, system: System, observations: Observations, tolerances: Tolerances) -> None:
        try:
            import torch
        except ImportError:
            raise SweepError(
                "engine='torch' needs PyTorch: uv pip install 'parallel-analysis-toolkit[torch]'."
            ) from None
        if isinstance(system.rhs, str):
            raise SweepError("DiffSL text needs engine='diffsol'; torch takes a Python function.")
        from toolkit.stages.torch_batch import device

        self._torch: Any = torch
        self._device = device()
        self._system, self._seen, self._own = system, observations, tolerances
        try:
            self._rates = traced(system)[0]
        except NotTracedError:
            self._rates = []

    def solve(self, params: Floats, initial: Floats, *, keep: bool = False) -> Solutions:
        """Integrate lanes; shapes as :class:`toolkit.optimizers.ode.solutions.Engine` says."""
        with self._torch.no_grad():
            return self._solve(params, initial, keep)

    def _solve(self, params: Floats, initial: Floats, keep: bool) -> Solutions:
        torch, own = self._torch, self._own
        n, n_states = initial.shape

        def tensor(values: Any) -> Any:
            return torch.as_tensor(
                np.ascontiguousarray(values), dtype=torch.float64, device=self._device
            )

        times, data = tensor(self._seen.times), tensor(self._seen.filled)
        weights, p, u = tensor(self._seen.weights), tensor(params.T), tensor(initial.T).clone()
        end, n_times = float(self._seen.times[-1]), len(self._seen.times)
        t = torch.full((n,), self._system.start_time, dtype=torch.float64, device=self._device)
        squares = torch.zeros_like(u)
        values = torch.full((n if keep else 0, n_states, n_times), math.nan, dtype=torch.float64)
        values = values.to(self._device)
        at = torch.zeros(n, dtype=torch.int64, device=self._device)
        ended = torch.zeros_like(at)
        steps = torch.zeros_like(at)

        def note(which: Any, lanes: Any) -> None:
            here = at[lanes]
            off = weights[:, here] * (data[:, here] - which) ** 2
            squares[:, lanes] += off
            if keep:
                values[lanes, :, here] = which.T
            at[lanes] += 1

        first = (times[0] <= t).nonzero().squeeze(1)
        if len(first):
            note(u[:, first], first)
        k1 = self._rate(t, u, p)
        h = self._first_step(t, u, k1, p, end)
        least = 1e-14 * max(abs(self._system.start_time), abs(end))
        rejected = torch.zeros(n, dtype=torch.bool, device=self._device)
        while True:
            alive = (at < n_times) & (ended == 0)
            lanes = alive.nonzero().squeeze(1)
            if not len(lanes):
                break
            whole = len(lanes) == n
            x, y, q, g = (t, u, p, h) if whole else (t[lanes], u[:, lanes], p[:, lanes], h[lanes])
            arrives = x + g >= end
            g = torch.where(arrives, end - x, g)
            ks = [k1 if whole else k1[:, lanes]]
            for node, row in zip(_NODES[1:], _ROWS[1:], strict=True):
                new = y + g * sum(c * k for c, k in zip(row, ks, strict=True) if c)
                ks.append(self._rate(x + node * g, new, q))
            scale = own.atol + own.rtol * torch.maximum(y.abs(), new.abs())
            off = g * sum(c * k for c, k in zip(_ERROR, ks, strict=True) if c)
            error = ((off / scale) ** 2).mean(0)
            is_finite = torch.isfinite(error)
            factor = torch.where(is_finite, 0.9 * error.clamp_min(1e-300) ** -0.1, 0.2)
            accepted = is_finite & (error < 1)
            later = torch.where(arrives, end, x + g)
            steps[lanes] += 1
            self._dense(note, lanes, accepted, x, later, g, y, new, ks, times, at)
            most = torch.where(rejected[lanes] | ~accepted, 1.0, 10.0)
            h[lanes] = g * torch.minimum(factor.clamp_min(0.2), most)
            rejected[lanes] = ~accepted
            u[:, lanes] = torch.where(accepted, new, y)
            k1[:, lanes] = torch.where(accepted, ks[6], ks[0])
            t[lanes] = torch.where(accepted, later, x)
            small = ~accepted & (h[lanes] < least)
            why = torch.where(small, torch.where(is_finite, 2, 3), 0)
            why = torch.where((steps[lanes] >= own.max_steps) & (at[lanes] < n_times), 1, why)
            ended[lanes] = why
        squares[:, ended != Ended.DONE] = math.nan
        return Solutions(
            squares=np.ascontiguousarray(squares.T.cpu().numpy()),
            ended=ended.cpu().numpy().astype(np.uint8),
            reached=t.cpu().numpy(),
            steps=steps.cpu().numpy(),
            values=values.cpu().numpy() if keep else None,
        )

    def _dense(
        self,
        note: Any,
        lanes: Any,
        accepted: Any,
        x: Any,
        later: Any,
        g: Any,
        y: Any,
        new: Any,
        ks: list[Any],
        times: Any,
        at: Any,
    ) -> None:
        """Note the states at those times of the data that this step passes."""
        n_times = len(times)
        c2 = new - y
        c3 = g * ks[0] - c2
        c4 = c2 - g * ks[6] - c3
        c5 = g * sum(c * k for c, k in zip(_DENSE, ks, strict=True) if c)
        while True:
            here = at[lanes]
            when = times[here.clamp_max(n_times - 1)]
            passed = (accepted & (here < n_times) & (when <= later)).nonzero().squeeze(1)
            if not len(passed):
                return
            z = ((when - x) / g)[passed]
            rest = 1 - z
            parts = (each[:, passed] for each in (y, c2, c3, c4, c5))
            y0, d2, d3, d4, d5 = parts
            note(y0 + z * (d2 + rest * (d3 + z * (d4 + rest * d5))), lanes[passed])

    def _rate(self, t: Any, u: Any, p: Any) -> Any:
        torch = self._torch
        if self._rates:
            leaves, known = {"time": t, "state": u, "parameter": p}, dict[int, Any]()
            names = _NumpyNames(torch)
            rates = [evaluate(each, leaves, names, known) for each in self._rates]
        else:
            assert callable(self._system.rhs)
            found = self._system.rhs(t, u, self._system.row(*p))
            if isinstance(found, torch.Tensor):
                return found
            rates = list(found)
        if len(rates) != len(u):
            raise SweepError(f"rhs returns {len(rates)} values, and there are {len(u)} states.")
        whole = [torch.as_tensor(each, dtype=u.dtype, device=u.device) for each in rates]
        return torch.stack([each.expand(u.shape[1]) for each in whole])

    def _first_step(self, t: Any, u: Any, k1: Any, p: Any, end: float) -> Any:
        torch, own = self._torch, self._own
        scale = own.atol + own.rtol * u.abs()
        size, speed = (((each / scale) ** 2).mean(0).sqrt() for each in (u, k1))
        span = end - t
        h = torch.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / speed)
        h = torch.minimum(h, span)
        k2 = self._rate(t + h, u + h * k1, p)
        bend = (((k2 - k1) / scale) ** 2).mean(0).sqrt() / h
        most = torch.maximum(speed, bend)
        longer = torch.where(most <= 1e-15, (h * 1e-3).clamp_min(1e-6), (0.01 / most) ** 0.2)
        found = torch.minimum(torch.minimum(100 * h, longer), span)
        return torch.where(torch.isfinite(found) & (found > 0), found, 1e-6 * span)


class _NumpyNames:
    """Functions of torch by the names that NumPy gives them; numbers become tensors."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def __getattr__(self, name: str) -> Any:
        torch = self._torch

        def function(*operands: Any) -> Any:
            known = next((each for each in operands if isinstance(each, torch.Tensor)), None)
            made = [torch.as_tensor(each, dtype=torch.float64) for each in operands]
            if known is not None:
                made = [each.to(known.device) for each in made]
            return getattr(torch, name)(*made)

        return function
