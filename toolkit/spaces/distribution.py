"""Kinds of axes to sample or to fit: where values lie between their bounds, and how densely."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from toolkit.errors import SpaceError
from toolkit.spaces import labels as lb
from toolkit.spaces.axis import Column

Floats: TypeAlias = npt.NDArray[np.float64]
Array: TypeAlias = npt.NDArray[Any]


@runtime_checkable
class Distribution(Protocol):
    """An axis to draw from: a map between the unit interval and the values."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value, infinite if there is none; of choices, positions."""

    def ppf(self, u: npt.ArrayLike) -> Array:
        """Return the values at quantiles ``u`` between 0 and 1, of the same shape."""

    def cdf(self, values: npt.ArrayLike) -> Floats:
        """Return the quantiles of values, so that ``ppf(cdf(values))`` is ``values``."""


@dataclass(frozen=True)
class Linear:
    """Real numbers, evenly from ``low`` to ``high``."""

    low: float
    high: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.low, self.high

    def ppf(self, u: npt.ArrayLike) -> Floats:
        """Return the values at quantiles ``u``."""
        return scaled(np.asarray(u, dtype=float), self.low, self.high)

    def cdf(self, values: npt.ArrayLike) -> Floats:
        """Return the quantiles of values."""
        return _unit((np.asarray(values, dtype=float) - self.low) / (self.high - self.low))


@dataclass(frozen=True)
class Log:
    """Positive numbers, evenly in their logarithm."""

    low: float
    high: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.low, self.high

    def ppf(self, u: npt.ArrayLike) -> Floats:
        """Return the values at quantiles ``u``."""
        low, high = np.log(self.low), np.log(self.high)
        return _clipped(np.exp(low + np.asarray(u, dtype=float) * (high - low)), self)

    def cdf(self, values: npt.ArrayLike) -> Floats:
        """Return the quantiles of values."""
        low, high = np.log(self.low), np.log(self.high)
        return _unit((np.log(np.asarray(values, dtype=float)) - low) / (high - low))


@dataclass(frozen=True)
class Logit:
    """Numbers between 0 and 1, evenly in ``log(p / (1 - p))``."""

    low: float
    high: float

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.low, self.high

    def ppf(self, u: npt.ArrayLike) -> Floats:
        """Return the values at quantiles ``u``."""
        low, high = _logit(self.low), _logit(self.high)
        return _clipped(1 / (1 + np.exp(-(low + np.asarray(u, dtype=float) * (high - low)))), self)

    def cdf(self, values: npt.ArrayLike) -> Floats:
        """Return the quantiles of values."""
        low, high = _logit(self.low), _logit(self.high)
        return _unit((_logit(values) - low) / (high - low))


@dataclass(frozen=True)
class Integers:
    """Whole numbers from ``low`` to ``high``, both included."""

    low: int
    high: int

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return self.low, self.high

    def ppf(self, u: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return the values at quantiles ``u``."""
        return self.low + _nth(u, self.high - self.low + 1)

    def cdf(self, values: npt.ArrayLike) -> Floats:
        """Return the middle of each value's share of the unit interval."""
        return _unit(
            (np.asarray(values, dtype=float) - self.low + 0.5) / (self.high - self.low + 1)
        )


@dataclass(frozen=True)
class Choice:
    """One of several values, each as likely; made by :func:`choice`."""

    column: Column

    @property
    def bounds(self) -> tuple[float, float]:
        """The first and the last position."""
        return 0, len(self.column) - 1

    def positions(self, u: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return which value stands at quantiles ``u``."""
        return _nth(u, len(self.column))

    def ppf(self, u: npt.ArrayLike) -> Array:
        """Return the values at quantiles ``u``; dtype object where they are labelled objects."""
        return self.column.array(self.positions(u))

    def cdf(self, values: npt.ArrayLike) -> Floats:
        """Return the middle of each label's share of the unit interval."""
        at = lb.match(self.column.labels, lb.as_labels(np.atleast_1d(np.asarray(values))))
        if (at < 0).any():
            raise SpaceError(f"not among the choices: {np.atleast_1d(values)[at < 0].tolist()}.")
        return _unit((at + 0.5) / len(self.column)).reshape(np.shape(values))


@dataclass(frozen=True)
class Continuous:
    """A frozen distribution of scipy.stats."""

    frozen: Any
    name: str = field(default="")

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value, infinite where there is none."""
        low, high = self.frozen.support()
        return float(low), float(high)

    def ppf(self, u: npt.ArrayLike) -> Array:
        """Return the values at quantiles ``u``; integers for a discrete distribution."""
        values = np.asarray(self.frozen.ppf(u))
        return values.astype(np.int64) if _is_discrete(self.frozen) else values

    def cdf(self, values: npt.ArrayLike) -> Floats:
        """Return the quantiles of values."""
        return np.asarray(self.frozen.cdf(values), dtype=float)

    def __repr__(self) -> str:
        """Return the distribution with its arguments."""
        return self.name or "a distribution of scipy.stats"


_SCALES: dict[type, str] = {Log: "log", Logit: "logit"}


def log(low: float, high: float) -> Log:
    """Return an axis of positive numbers, evenly spread in their logarithm.

    Examples
    --------
    >>> log(1e-3, 0.1).ppf([0, 0.5, 1]).round(6).tolist()
    [0.001, 0.01, 0.1]
    """
    _require_order("log", low, high)
    if low <= 0:
        raise SpaceError(
            f"tk.log({low}, {high}): a logarithm needs positive numbers.\nRaise low above 0."
        )
    return Log(float(low), float(high))


def logit(low: float, high: float) -> Logit:
    """Return an axis of numbers between 0 and 1, both excluded, evenly spread in log odds."""
    _require_order("logit", low, high)
    if low <= 0 or high >= 1:
        raise SpaceError(f"tk.logit({low}, {high}): bounds lie between 0 and 1, both excluded.")
    return Logit(float(low), float(high))


def integers(low: int, high: int) -> Integers:
    """Return an axis of whole numbers from ``low`` to ``high``, both included.

    Examples
    --------
    >>> integers(1, 3).ppf([0, 0.4, 1]).tolist()
    [1, 2, 3]
    """
    if any(
        isinstance(x, (bool, np.bool_)) or not isinstance(x, (int, np.integer)) for x in (low, high)
    ):
        raise SpaceError(f"tk.integers({low!r}, {high!r}) takes whole numbers.")
    _require_order("integers", low, high)
    return Integers(int(low), int(high))


def choice(values: object) -> Choice:
    """Return an axis of values without order: a list or ``{label: object}``, each as likely."""
    from toolkit.spaces import build

    if build.is_scalar("choice", values):
        raise SpaceError(f"tk.choice takes a list of values, found {values!r}.")
    return Choice(build.axis_column("choice", values))


def normal(mean: float, sd: float) -> Continuous:
    """Return an axis of normally distributed numbers with a mean and a standard deviation."""
    from scipy import stats

    if not (np.isfinite(mean) and np.isfinite(sd) and sd > 0):
        raise SpaceError(
            f"tk.normal(mean={mean}, sd={sd}): the standard deviation must be above 0, both finite."
        )
    return Continuous(stats.norm(mean, sd), f"normal({mean}, {sd})")


def as_distribution(name: str, given: Any) -> Distribution:
    """Return what a parameter is drawn from.

    Parameters
    ----------
    name
        The parameter.
    given
        ``(low, high)``, what this file makes, or a frozen distribution of scipy.stats.

    Raises
    ------
    SpaceError
        A bare list, which could be values or bounds, or anything else.
    """
    if isinstance(given, Distribution) and not hasattr(given, "support"):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        low, high = given
        _require_order(name, low, high)
        return Linear(float(low), float(high))
    if isinstance(given, list):
        raise SpaceError(
            f"parameter {name!r} is a bare list, {given!r}: it could be values or bounds.\n"
            f"Write {name}=tk.choice([...]) to draw among values, a tuple (low, high) for a "
            "range, or multiply by "
            f"tk.grid({name}=[...]) for all of them."
        )
    if hasattr(given, "ppf") and hasattr(given, "support"):
        shape = np.shape(given.ppf(0.5))
        if shape:
            raise SpaceError(
                f"parameter {name!r} is a distribution of arrays of shape {shape}; give it scalars."
            )
        return Continuous(given, _title(given))
    if isinstance(given, Mapping):
        raise SpaceError(
            f"parameter {name!r} is a mapping.\n"
            f"Write tk.choice({{label: object}}) to draw among its values."
        )
    raise SpaceError(
        f"parameter {name!r} is {given!r}, which is no axis to draw from.\n"
        "Give (low, high), tk.log, tk.logit, tk.integers, tk.choice, tk.normal or a frozen "
        "scipy.stats distribution."
    )


def drawn(name: str, kind: Distribution, u: npt.ArrayLike) -> Column:
    """Return the column of a parameter at quantiles ``u``, shape ``(n,)``.

    Its attribute ``scale`` says in which scale it lies evenly, where that is not its own.
    """
    if isinstance(kind, Choice):
        taken = kind.column.take(kind.positions(u))
        return Column(name=name, labels=taken.labels, objects=taken.objects)
    labels = lb.as_labels(kind.ppf(u))
    require_finite(name, kind, labels)
    return column_of(name, kind, labels)


def column_of(name: str, kind: Distribution, labels: npt.NDArray[Any]) -> Column:
    """Return the column of a parameter whose labels were drawn; for :func:`drawn` and its kin."""
    scale = _SCALES.get(type(kind))
    return Column(name=name, labels=labels, attrs={} if scale is None else {"scale": scale})


def require_finite(name: str, kind: Distribution, labels: npt.NDArray[Any]) -> None:
    """Raise a SpaceError where a drawn label is not finite."""
    if lb.not_finite(labels).size:
        raise SpaceError(
            f"parameter {name!r} drawn from {kind!r} has non-finite values.\n"
            "Bound the distribution."
        )


def scaled(u: Floats, low: Any, high: Any) -> Floats:
    """Return numbers that lie evenly from ``low`` to ``high``, at quantiles ``u``."""
    values: Floats = (low + u * (high - low)).clip(low, high)
    return values


def _require_order(name: str, low: Any, high: Any) -> None:
    for bound in (low, high):
        if isinstance(bound, (bool, str)) or not isinstance(
            bound, (int, float, np.integer, np.floating)
        ):
            raise SpaceError(f"parameter {name!r} has the bound {bound!r}, which is no number.")
        if not np.isfinite(bound):
            raise SpaceError(
                f"parameter {name!r} has the non-finite bound {bound}.\nGive finite bounds."
            )
    if low == high:
        raise SpaceError(
            f"parameter {name!r} has low={low} equal to high.\nWrite it as a constant instead."
        )
    if low > high:
        raise SpaceError(f"parameter {name!r} has low={low} above high={high}.\nSwap the bounds.")


def _title(frozen: Any) -> str:
    dist = getattr(getattr(frozen, "dist", None), "name", "distribution")
    parts = [str(a) for a in getattr(frozen, "args", ())]
    parts += [f"{key}={value}" for key, value in getattr(frozen, "kwds", {}).items()]
    return f"{dist}({', '.join(parts)})"


def _is_discrete(frozen: Any) -> bool:
    return (hasattr(frozen, "pmf") and not hasattr(frozen, "pdf")) or hasattr(
        getattr(frozen, "dist", None), "_pmf"
    )


def _logit(p: npt.ArrayLike) -> Floats:
    p = np.asarray(p, dtype=float)
    return np.asarray(np.log(p / (1 - p)))


def _nth(u: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    nth: npt.NDArray[np.int64] = np.minimum(np.asarray(u, dtype=float) * n, n - 1).astype(np.int64)
    return nth


def _clipped(values: Floats, kind: Log | Logit) -> Floats:
    return np.clip(values, kind.low, kind.high)


def _unit(u: npt.ArrayLike) -> Floats:
    return np.asarray(np.clip(u, 0.0, 1.0), dtype=float)
