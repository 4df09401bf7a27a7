"""How far a likelihood falls around its maximum: curvature, profiles and what they say.

After A. Raue et al., Structural and practical identifiability analysis of partially observed
dynamical models by exploiting the profile likelihood, Bioinformatics 25 (2009).

Deviance is twice the fall of the log-likelihood below its maximum. All coordinates are those of
the unit cube.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolkit.errors import SweepError
from toolkit.optimizers.generational import Floats, Ids

COSTS = ("nll", "chi2", "sse")
_AT_BOUND = 1e-6
_FLAT = 0.05  # deviance over a whole axis, below which nothing depends on it


@dataclass(frozen=True, kw_only=True)
class Deviance:
    """What values of the objective mean.

    Parameters
    ----------
    cost
        ``"nll"``, ``"chi2"`` or ``"sse"``.
    n_data
        Number of data points, for ``"sse"``.
    """

    cost: str
    n_data: int | None = None

    def of(self, values: Floats | float, least: float) -> Floats:
        """Return the deviance of values, NaN where they are."""
        values = np.asarray(values, np.float64)
        if self.cost == "nll":
            return np.asarray(2 * (values - least))
        if self.cost == "chi2":
            return np.asarray(values - least)
        if not least > 0:
            raise SweepError(
                f"The least sum of squares is {least:g}: with cost='sse' the noise is estimated "
                "from it, so it must be above 0. Give cost='chi2' with a known noise."
            )
        assert self.n_data is not None
        with np.errstate(invalid="ignore"):
            return np.asarray(self.n_data * np.log(values / least))


def curvature(deviance: Callable[[Floats], Floats], at: Floats) -> Floats:
    """Return second derivatives of the deviance by central differences, shape ``(n, n)``.

    Steps are chosen so that the deviance changes by about 1, far above the noise of a solver.
    Rows and columns of coordinates at a bound are NaN.

    Parameters
    ----------
    deviance
        At some points, shape ``(m, n)``.
    at
        The best point, shape ``(n,)``.
    """
    n = len(at)
    room = np.minimum(at, 1 - at)
    inside = np.flatnonzero(room > _AT_BOUND)
    found = np.full((n, n), np.nan)
    if not len(inside):
        return found
    steps = np.minimum(0.01, room[inside])
    for _ in range(2):
        sides = _sides(at, inside, steps)
        fell = deviance(sides.reshape(-1, n)).reshape(2, -1).mean(axis=0)
        factor = np.sqrt(1 / np.maximum(fell, 1e-8))
        steps = np.minimum(steps * np.where(np.isfinite(factor), factor, 0.1), room[inside])
        steps = np.maximum(steps, 1e-7)
    sides = _sides(at, inside, steps)
    pairs = [(one, two) for one in range(len(inside)) for two in range(one)]
    corners = np.array(
        [_moved(at, inside, steps, pair, signs) for pair in pairs for signs in _SIGNS]
    ).reshape(-1, n)
    values = deviance(np.concatenate([sides.reshape(-1, n), corners]))
    diagonal = values[: 2 * len(inside)].reshape(2, -1).sum(axis=0) / steps**2
    found[inside, inside] = diagonal
    rest = values[2 * len(inside) :].reshape(-1, 4)
    for (one, two), (same, up, down, other) in zip(pairs, rest, strict=True):
        mixed = (same - up - down + other) / (4 * steps[one] * steps[two])
        found[inside[one], inside[two]] = found[inside[two], inside[one]] = mixed
    return found


def covariance(second: Floats) -> Floats:
    """Return the covariance that curvatures of the deviance stand for, shape ``(n, n)``.

    NaN for coordinates at a bound, and for those of directions in which the deviance does not rise.
    """
    found = np.full_like(second, np.nan)
    known = np.flatnonzero(np.isfinite(np.diag(second)))
    part = second[np.ix_(known, known)]
    if not len(known) or not np.isfinite(part).all():
        return found
    squares, axes = np.linalg.eigh(part)
    rises = squares > 1e-8 * max(float(squares[-1]), 0.0)
    is_told = (axes[:, ~rises] ** 2).sum(axis=1) < 1e-6
    made = 2 * (axes[:, rises] / squares[rises]) @ axes[:, rises].T
    made[~is_told], made[:, ~is_told] = np.nan, np.nan
    found[np.ix_(known, known)] = made
    return found


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The deviance along one coordinate, the others fitted anew at each of its points.

    Attributes
    ----------
    points
        Where all coordinates lie, ascending along the profiled one, shape ``(m, n)``.
    deviance
        Shape ``(m,)``, 0 at the best point.
    low, high
        Where the deviance passes the threshold, NaN where it does not within the bounds.
    """

    points: Floats
    deviance: Floats
    low: float
    high: float


def profile(
    fit: Callable[[float, Floats], tuple[Floats, float]],
    at: Floats,
    number: int,
    *,
    deviation: float,
    threshold: float,
    points: int,
) -> Profile:
    """Follow a likelihood along one coordinate, away from the best point on both sides.

    Parameters
    ----------
    fit
        Called with a place on the coordinate and the point to begin at; returns the best point
        there and its deviance.
    at
        The best point, shape ``(n,)``.
    number
        Of the coordinate.
    deviation
        Its standard deviation by curvature, NaN where unknown.
    threshold
        The deviance at the ends of the interval.
    points
        About how many lie on each side within the interval.
    """
    step = 0.05
    if np.isfinite(deviation):
        step = min(max(1.1 * math.sqrt(threshold) * deviation / points, 1e-4), 0.25)
    ends, sides = [], []
    for sign in (-1.0, 1.0):
        walked = _walk(fit, at, number, sign * step, threshold, points)
        sides.append(walked)
        ends.append(_crossing(number, at, walked, threshold))
    rows = [*reversed(sides[0]), (at, 0.0), *sides[1]]
    return Profile(
        points=np.array([point for point, _ in rows]),
        deviance=np.array([fell for _, fell in rows]),
        low=ends[0],
        high=ends[1],
    )


def _walk(
    fit: Callable[[float, Floats], tuple[Floats, float]],
    at: Floats,
    number: int,
    step: float,
    threshold: float,
    points: int,
) -> list[tuple[Floats, float]]:
    rows: list[tuple[Floats, float]] = []
    last, place = at, float(at[number])
    n_shortened = 0
    bound = 0.0 if step < 0 else 1.0
    while place != bound and len(rows) < 4 * points:
        following = min(max(place + step, 0.0), 1.0)
        point, fell = fit(following, last)
        before = rows[-1][1] if rows else 0.0
        rise = math.sqrt(max(fell, 0.0)) - math.sqrt(max(before, 0.0))
        is_too_far = not rise < 0.6 * math.sqrt(threshold)
        if is_too_far and n_shortened < 10 and abs(step) > 1e-6:
            step, n_shortened = step / 2, n_shortened + 1
            continue
        rows.append((point, fell))
        last, place = point, following
        if not fell < 1.1 * threshold:
            break
        if len(rows) >= points:
            step *= 1.5
    return rows


def _crossing(number: int, at: Floats, rows: list[tuple[Floats, float]], threshold: float) -> float:
    """Return where the deviance first passes the threshold: its root is nearly straight."""
    place, root, wanted = float(at[number]), 0.0, math.sqrt(threshold)
    for point, fell in rows:
        following = float(point[number])
        if not fell < threshold:
            if not math.isfinite(fell):
                return following
            share = (wanted - root) / (math.sqrt(fell) - root)
            return place + share * (following - place)
        place, root = following, math.sqrt(max(fell, 0.0))
    return math.nan


def verdict(name: str, found: Profile, words: tuple[str, str], partner: str, level: float) -> str:
    """Say whether a parameter can be known from the data.

    Parameters
    ----------
    name
        The parameter.
    found
        Its profile.
    words
        The ends of its interval, or of the axis where it has none, as text.
    partner
        The parameter that changes most along the profile, ``""`` if there is no other.
    level
        Of the interval.
    """
    low, high = words
    has_low, has_high = math.isfinite(found.low), math.isfinite(found.high)
    if has_low and has_high:
        return f"identifiable: {level:.0%} of the confidence lies from {low} to {high}"
    makes_up = f"; {partner} makes up for it" if partner else ""
    if not has_low and not has_high:
        if float(np.nanmax(found.deviance)) < _FLAT:
            return f"not identifiable: every {name} from {low} to {high} fits as well{makes_up}"
        return (
            f"practically not identifiable: no {name} from {low} to {high} is ruled out{makes_up}"
        )
    known = f"{name} is at least {low}" if has_low else f"{name} is at most {high}"
    open_end = f"up to {high}" if has_low else f"down to {low}"
    return (
        f"bounded on one side: {known}, and nothing beyond the best value is ruled out on the "
        f"other, {open_end}, where the axis ends{makes_up}"
    )


_SIGNS = ((1, 1), (1, -1), (-1, 1), (-1, -1))


def _sides(at: Floats, inside: Ids, steps: Floats) -> Floats:
    """Return points a step below and above along each coordinate, shape ``(2, m, n)``."""
    made = np.tile(at, (2, len(inside), 1))
    rows = np.arange(len(inside))
    made[0, rows, inside] -= steps
    made[1, rows, inside] += steps
    return made


def _moved(
    at: Floats,
    inside: Ids,
    steps: Floats,
    pair: tuple[int, int],
    signs: tuple[int, int],
) -> Floats:
    made = at.copy()
    for each, sign in zip(pair, signs, strict=True):
        made[inside[each]] += sign * steps[each]
    return made
