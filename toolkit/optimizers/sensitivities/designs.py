"""Designs of global sensitivity analysis as spaces of a sweep, by SALib."""

import importlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolkit.errors import SpaceError, SweepError
from toolkit.optimizers.generational import Floats
from toolkit.spaces import build
from toolkit.spaces.distribution import as_distribution, drawn
from toolkit.spaces.labels import require_names
from toolkit.spaces.rows import rows_dim
from toolkit.spaces.space import Space

DESIGN = "design"  # attribute of the parameters, by which indices know what was sampled


@dataclass(frozen=True, kw_only=True)
class Design:
    """Where the points of a design lie, as all of its parameters say in an attribute.

    Parameters
    ----------
    kind
        ``"saltelli"`` or ``"morris"``.
    n
        Base points, or trajectories.
    names
        The parameters, in the order of the design.
    seed
        Of its draws.
    second_order
        Whether pairs of parameters can be told apart.
    levels
        Of a grid that trajectories walk on.
    """

    kind: str
    n: int
    names: tuple[str, ...]
    seed: int
    second_order: bool = False
    levels: int = 4

    @property
    def problem(self) -> dict[str, Any]:
        """The design as SALib describes it, over the unit cube."""
        count = len(self.names)
        return {"num_vars": count, "names": list(self.names), "bounds": [[0.0, 1.0]] * count}

    def points(self) -> Floats:
        """Return all points, shape ``(n_runs, n_dims)``."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.kind == "saltelli":
                made = salib("sample.sobol").sample(
                    self.problem, self.n, calc_second_order=self.second_order, seed=self.seed
                )
            else:
                made = salib("sample.morris").sample(
                    self.problem, self.n, num_levels=self.levels, seed=self.seed
                )
        return np.asarray(made, np.float64)

    def to_text(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.__dict__)

    @classmethod
    def from_text(cls, text: str) -> "Design":
        """Return the design that :meth:`to_text` wrote."""
        held = json.loads(text)
        return cls(**{**held, "names": tuple(held["names"])})


def saltelli(
    n: int,
    axes: Mapping[str, Any] | None = None,
    /,
    *,
    second_order: bool = False,
    dim: str = "sample",
    seed: int = 0,
    **keywords: Any,
) -> Space:
    """Return the space of Sobol indices: how much of the variance each parameter makes.

    After A. Saltelli et al., Computer Physics Communications 181 (2010). There are
    ``n * (d + 2)`` runs for ``d`` parameters, ``n * (2 d + 2)`` with ``second_order``.

    Parameters
    ----------
    n
        Base points, a power of two.
    axes, dim, seed, **keywords
        As for ``tk.sample``.
    second_order
        Whether to tell pairs of parameters apart.

    Raises
    ------
    SpaceError, SweepError
        If ``n`` is no power of two, an axis is none, or SALib is not installed.

    Examples
    --------
    >>> import toolkit as tk
    >>> len(tk.sensitivity.saltelli(8, beta=(0.1, 0.5), gamma=(0.05, 0.2)))
    32
    """
    if build.count("saltelli(n)", n) & (n - 1):
        raise SpaceError(
            f"saltelli(n={n}): Sobol points are balanced for powers of two only. Take "
            f"{2 ** (n.bit_length() - 1)} or {2 ** n.bit_length()}."
        )
    return _space("saltelli", n, axes, keywords, dim, seed, second_order=second_order)


def morris(
    n: int,
    axes: Mapping[str, Any] | None = None,
    /,
    *,
    levels: int = 4,
    dim: str = "sample",
    seed: int = 0,
    **keywords: Any,
) -> Space:
    """Return the space of elementary effects: a cheap look at which parameters matter at all.

    After M. Morris, Technometrics 33 (1991). There are ``n * (d + 1)`` runs for ``d`` parameters.

    Parameters
    ----------
    n
        Trajectories; 10 to 50 are usual.
    axes, dim, seed, **keywords
        As for ``tk.sample``.
    levels
        Places that each parameter takes, an even number.

    Raises
    ------
    SpaceError, SweepError
        If a number or an axis is wrong, or SALib is not installed.

    Examples
    --------
    >>> import toolkit as tk
    >>> len(tk.sensitivity.morris(10, beta=(0.1, 0.5), gamma=(0.05, 0.2)))
    30
    """
    build.count("morris(n)", n)
    if build.count("levels", levels) % 2:
        raise SpaceError(f"levels={levels} must be an even number, such as 4.")
    return _space("morris", n, axes, keywords, dim, seed, levels=levels)


def _space(
    kind: str,
    n: int,
    axes: Mapping[str, Any] | None,
    keywords: Mapping[str, Any],
    dim: str,
    seed: int,
    **given: Any,
) -> Space:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise SpaceError(f"seed={seed!r} must be a whole number of at least 0.")
    named = build.merged(axes, keywords)
    require_names([dim, *named])
    fixed = {
        name: value
        for name, value in named.items()
        if value is None or isinstance(value, str | bool | int | float | np.generic)
    }
    kinds = {
        name: as_distribution(name, value) for name, value in named.items() if name not in fixed
    }
    if len(kinds) < 2:
        raise SpaceError(f"{kind} compares parameters: give at least two axes, such as (0.1, 0.5).")
    design = Design(kind=kind, n=int(n), names=tuple(kinds), seed=int(seed), **given)
    u = np.clip(design.points(), 2.0**-32, 1 - 2.0**-32)
    columns = [drawn(name, each, u[:, at]) for at, (name, each) in enumerate(kinds.items())]
    told = [replace(column, attrs={**column.attrs, DESIGN: design.to_text()}) for column in columns]
    constants = (build.constant(name, value) for name, value in fixed.items())
    return Space(dims=(rows_dim(dim, told), *constants))


def salib(name: str) -> Any:
    """Return a module of SALib.

    Raises
    ------
    SweepError
        If it is not installed.
    """
    try:
        return importlib.import_module(f"SALib.{name}")
    except ModuleNotFoundError as error:
        raise SweepError(
            "tk.sensitivity needs SALib, which is not installed. Install it with: "
            "pip install 'parallel-analysis-toolkit[sensitivity]'"
        ) from error
