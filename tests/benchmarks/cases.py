"""What is measured: cases, their sizes, and what the toolkit has to reach."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import functions
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WORKERS = 2


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a measured number of the toolkit may be at most."""

    column: str
    at_most: float
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One function over one grid.

    Parameters
    ----------
    name
        As ``--only`` knows it.
    title
        A line over its table.
    function, function_at
        The function of ``x`` and ``y``, and the same for Pool, which hands over a point.
    sides
        Labels along ``x`` and ``y``.
    ideal_seconds
        Seconds of one run, where the ideal ``runs * seconds / workers`` is the measure.
    vectorized
        Whether the toolkit's function takes arrays.
    peers
        Contenders beside Pool and the toolkit, and the most runs that each is given.
    targets
        Of the toolkit.
    """

    name: str
    title: str
    function: Callable[..., Any]
    function_at: Callable[..., Any]
    sides: tuple[int, int]
    ideal_seconds: float | None = None
    vectorized: bool = False
    peers: Mapping[str, int] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()

    def sides_for(self, runs: int) -> tuple[int, int]:
        """Return the sides of a grid of about so many runs."""
        length = self.sides[1] if runs >= self.sides[1] else max(1, int(runs**0.5))
        return max(1, runs // length), length

    @property
    def runs(self) -> int:
        return self.sides[0] * self.sides[1]

    @property
    def watches_memory(self) -> bool:
        return any(target.column == "growth" for target in self.targets)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The points of a case, as plain floats.

    The labels are multiples of 1/1024: exact both as decimals and as floats, so that every
    contender gets the same bits.
    """

    x: list[float]
    y: list[float]

    def __len__(self) -> int:
        return len(self.x) * len(self.y)

    def points(self) -> list[tuple[float, float]]:
        return [(x, y) for x in self.x for y in self.y]


def grid_of(case: Case, runs: int) -> Grid:
    sides = case.sides_for(runs)
    x, y = ((np.arange(1, side + 1) / 1024).tolist() for side in sides)
    return Grid(x=x, y=y)


def _targets(
    kind: Literal["busy", "trivial", "slow"],
) -> tuple[Target, ...]:
    if kind == "busy":
        return Target(column="wall", at_most=1.15), Target(column="cpu", at_most=1.15)
    if kind == "slow":
        return Target(column="ideal", at_most=1.08), Target(column="inodes", at_most=60)
    return (
        Target(column="wall", at_most=1.0),
        Target(column="growth", at_most=50.0, unit="MB"),
        Target(column="inodes", at_most=150),
        Target(column="open_warm", at_most=0.020, unit="s"),
        Target(column="select", at_most=0.010, unit="s"),
    )


CASES = (
    Case(
        name="scalar-20k",
        title="20,000 runs of a pure-Python function of 45 us that returns a float",
        function=functions.scalar,
        function_at=functions.scalar_at,
        sides=(200, 100),
        peers={
            "joblib": 20_000,
            "pipefunc-dict": 20_000,
            "pipefunc-files": 20_000,
            "xyzpy-crop": 20_000,
            "xyzpy-harvester": 20_000,
        },
    ),
    Case(
        name="scalar-200k",
        title="200,000 runs of the same function",
        function=functions.scalar,
        function_at=functions.scalar_at,
        sides=(500, 400),
        peers={
            "joblib": 200_000,
            "pipefunc-dict": 200_000,
            "pipefunc-files": 20_000,
            "xyzpy-crop": 200_000,
            "xyzpy-harvester": 20_000,
        },
        targets=_targets("busy"),
    ),
    Case(
        name="wide-2k",
        title="2,000 runs of the same function, each returning 1,000 floats",
        function=functions.wide,
        function_at=functions.wide_at,
        sides=(50, 40),
        peers={
            "joblib": 2_000,
            "pipefunc-dict": 2_000,
            "pipefunc-files": 2_000,
            "xyzpy-crop": 2_000,
            "xyzpy-harvester": 2_000,
        },
    ),
    Case(
        name="trivial-1m",
        title="1,000,000 runs of x + y",
        function=functions.trivial,
        function_at=functions.trivial_at,
        sides=(1000, 1000),
        peers={
            "pool-one-float": 1_000_000,
            "joblib": 100_000,
            "pipefunc-dict": 100_000,
            "pipefunc-files": 10_000,
            "xyzpy-crop": 100_000,
            "xyzpy-harvester": 10_000,
        },
        targets=_targets("trivial"),
    ),
    Case(
        name="vectorized-1m",
        title="1,000,000 runs of x + y, vectorized (Pool.map one by one, as above)",
        function=functions.trivial,
        function_at=functions.trivial_at,
        sides=(1000, 1000),
        vectorized=True,
        peers={"pool-blocks": 1_000_000},
        targets=_targets("trivial"),
    ),
    Case(
        name="slow-5k",
        title="5,000 runs that sleep for 10 ms; the ideal is runs * 10 ms / workers",
        function=functions.pause,
        function_at=functions.pause_at,
        sides=(100, 50),
        ideal_seconds=functions.PAUSE_SECONDS,
        peers={
            "joblib": 1_000,
            "pipefunc-dict": 1_000,
            "pipefunc-files": 1_000,
            "xyzpy-crop": 1_000,
            "xyzpy-harvester": 1_000,
        },
        targets=_targets("slow"),
    ),
)


def case_named(name: str) -> Case:
    """Return a case, or raise a KeyError that lists them."""
    found = {case.name: case for case in CASES}
    if name not in found:
        raise KeyError(f"{name!r} is not among the cases: {', '.join(found)}")
    return found[name]
