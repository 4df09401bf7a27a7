"""A right-hand side compiled into the loop over lanes, and kept on disk by its hash."""

import contextlib
import hashlib
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

from toolkit.optimizers.ode import lanes

_LOOPS: dict[str, Callable[..., None]] = {}  # of this process


class _CacheByKey(FunctionCache):
    """Numba's cache on disk; which right-hand side is in the loop is told by a key."""

    def __init__(self, function: Callable[..., None], key: str) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._key = key

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return sig, codegen.magic_tuple(), self._key


def compiled_lanes(
    rhs: Any, parameters: tuple[str, ...], n_states: int, key: str, is_unrolled: bool
) -> Callable[..., None]:
    """Return the compiled loop of :func:`toolkit.optimizers.ode.lanes.lanes_of`.

    Parameters
    ----------
    rhs
        Called as ``rhs(t, u, p)``; ``p`` is a namedtuple.
    parameters
        Names.
    n_states
        How many states there are.
    key
        The same only for the same right-hand side.
    is_unrolled
        Whether ``u`` is a tuple, which can be unpacked and stays in registers; else an array.

    Raises
    ------
    numba.core.errors.NumbaError
        If it cannot be compiled.
    """
    kept = f"{key} {parameters} {n_states} {is_unrolled} {_kernel()} {numba.__version__}"
    if kept in _LOOPS:
        return _LOOPS[kept]
    own = rhs if isinstance(rhs, numba.core.registry.CPUDispatcher) else None
    inner = own or numba.njit(**lanes.OPTIONS)(rhs)
    loop = lanes.lanes_of(_derivative(inner, parameters, n_states, is_unrolled), n_states)
    with contextlib.suppress(RuntimeError):  # no place for a cache: each process compiles
        loop._cache = _CacheByKey(loop.py_func, hashlib.blake2b(kept.encode()).hexdigest())
    f, i = numba.float64, numba.int64
    row, table, cube = f[::1], f[:, ::1], f[:, :, ::1]
    loop.compile(
        (
            table,
            table,
            f,
            row,
            table,
            table,
            f,
            f,
            i,
            i,
            i,
            table,
            cube,
            numba.uint8[::1],
            row,
            i[::1],
        )
    )
    _LOOPS[kept] = loop
    return loop  # type: ignore[no-any-return]


def _derivative(inner: Any, parameters: tuple[str, ...], n_states: int, is_unrolled: bool) -> Any:
    """Return ``rhs`` as the loop calls it: its parts are written one by one, as floats."""
    states = ", ".join(f"u[{j}]" for j in range(n_states))
    values = ", ".join(f"params[{j}]" for j in range(len(parameters)))
    lines = [
        "def derivative(t, u, params, du):",
        f"    found = rhs(t, {f'({states},)' if is_unrolled else 'u'}, Parameters({values}))",
    ]
    if is_unrolled:
        lines += [f"    du[{j}] = found[{j}]" for j in range(n_states)]
    else:
        lines += [f"    for j in range({n_states}):", "        du[j] = found[j]"]
    names = {"rhs": inner, "Parameters": namedtuple("Parameters", parameters)}
    exec("\n".join(lines), names)
    return numba.njit(**lanes.OPTIONS)(names["derivative"])


def _kernel() -> str:
    return hashlib.blake2b(Path(lanes.__file__).read_bytes(), digest_size=8).hexdigest()
