"""Spaces drawn from distributions."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError
from toolkit.spaces import build
from toolkit.spaces.distribution import as_distribution, drawn
from toolkit.spaces.labels import require_names
from toolkit.spaces.rows import rows_dim
from toolkit.spaces.space import Space

METHODS = ("sobol", "lhs", "halton", "uniform")


def sample(
    n: int,
    axes: Mapping[str, Any] | None = None,
    /,
    *,
    dim: str = "sample",
    method: str = "sobol",
    seed: int = 0,
    **keywords: Any,
) -> Space:
    """Return points drawn from distributions, along one dim.

    Parameters
    ----------
    n
        How many. Powers of two suit ``"sobol"`` best.
    axes
        One mapping of names to axes, for names such as ``"seed"``.
    dim
        The dim of the points.
    method
        ``"sobol"``, ``"halton"`` and ``"uniform"``, of which a larger sample with the same seed
        begins with the smaller one, or ``"lhs"`` (a Latin hypercube), which draws anew.
    seed
        The same seed gives the same points.
    **keywords
        ``(low, high)``, ``tk.log``, ``tk.logit``, ``tk.integers`` (both ends included),
        ``tk.choice``, ``tk.normal`` or a frozen distribution of scipy.stats per parameter. A
        scalar is a constant.

    Raises
    ------
    SpaceError
        A bare list, bounds in the wrong order or not finite, or an unknown method.

    Examples
    --------
    >>> space = sample(8, beta=(0.1, 0.5), model="sir")
    >>> len(space), space.names
    (8, ('beta', 'model'))
    """
    n = build.count("sample(n)", n)
    given = build.merged(axes, keywords)
    if not isinstance(dim, str):
        raise SpaceError(
            f"dim={dim!r} must be the name of the dim.\nGive a parameter called 'dim' in a mapping."
        )
    require_names([dim, *given])
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise SpaceError(
            f"seed={seed!r} must be a whole number of at least 0.\n"
            "Give a parameter called 'seed' in a mapping: tk.sample(n, {'seed': ...})."
        )
    if method not in METHODS:
        raise build.unknown("sample: the method", method, METHODS)
    constants = {name: value for name, value in given.items() if _is_constant(value)}
    kinds = {
        name: as_distribution(name, value) for name, value in given.items() if name not in constants
    }
    if not kinds:
        raise SpaceError("sample needs at least one axis to draw from, such as beta=(0.1, 0.5).")
    u = _quantiles(n, len(kinds), method, int(seed))
    columns = [drawn(name, kind, u[:, number]) for number, (name, kind) in enumerate(kinds.items())]
    fixed = (build.constant(name, value) for name, value in constants.items())
    return Space(dims=(rows_dim(dim, columns), *fixed))


def _is_constant(value: object) -> bool:
    return value is None or isinstance(value, (str, bool, int, float, np.generic))


def _quantiles(n: int, count: int, method: str, seed: int) -> npt.NDArray[np.float64]:
    if method == "uniform":
        u = np.random.default_rng(seed).random((n, count))
    else:
        from scipy.stats import qmc

        engine = {"sobol": qmc.Sobol, "lhs": qmc.LatinHypercube, "halton": qmc.Halton}[method]
        with warnings.catch_warnings():
            # Sizes that are no power of two are fine here: a sample may be extended to one.
            warnings.simplefilter("ignore", UserWarning)
            u = engine(d=count, seed=np.random.default_rng(seed)).random(n)
    return np.clip(u, 2.0**-32, 1 - 2.0**-32)
