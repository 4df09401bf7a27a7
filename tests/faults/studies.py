"""The sweeps that are disturbed, and what they return when nothing disturbs them."""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import misdeeds
import numpy as np

import toolkit as tk

SEED = 3
WIDE_LENGTH = 140_000


@dataclass(frozen=True, kw_only=True)
class Part:
    """One stage of a study.

    Parameters
    ----------
    stage, group
        Its name, and the folder of its arrays in the store.
    dims
        What its runs differ in, the slowest first.
    is_slow
        Whether a run takes over 1 ms, so that each is journalled by itself.
    """

    stage: str
    group: str = ""
    dims: tuple[str, ...] = ("x", "trial")
    is_slow: bool = False


SHAPES = {
    "slow": (40, 4),
    "fast": (80, 120),
    "wide": (24, 1),
    "ragged": (40, 30),
    "staged": (24, 4),
}
"""How many labels ``x`` and ``trial`` have in each kind of study."""

PARTS = {
    "slow": (Part(stage="measure", is_slow=True),),
    "fast": (Part(stage="measure"),),
    "wide": (Part(stage="measure"),),
    "ragged": (Part(stage="measure"),),
    "staged": (
        Part(stage="draw", is_slow=True),
        Part(stage="settle", group="settle"),
        Part(stage="total", group="total", dims=("x",)),
    ),
}


def note(calls: str, part: int, x: int, trial: int) -> None:
    """Append a line to the file of calls, in one system call: the run, the process, the time.

    The end of the line before comes first: a kill may leave half of that.
    """
    fd = os.open(calls, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    line = f"\n{part} {x} {trial} {os.getpid()} {time.monotonic_ns() // 1000}"
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)


# ---- what runs return: known without the package


def number(x: int, trial: int) -> int:
    """Return a whole number that no other run returns."""
    return x * 1000 + trial


def score(x: int, trial: int) -> float:
    """Return a float that no other run returns."""
    return math.sin(x + 0.01 * trial)


def spikes(x: int, trial: int) -> np.ndarray:
    """Return between none and five values."""
    return number(x, trial) + 0.5 * np.arange((7 * x + trial) % 6)


def words(x: int, trial: int) -> str:
    """Return a text, empty for some."""
    return f"{x}/{trial} é\n" * ((x + trial) % 3)


def total(values: Any) -> float:
    """Return the sum, from the first to the last."""
    return math.fsum(values)


# ---- the stages


def slow(calls: str) -> list[Any]:
    """Return a function of over 1 ms: each of its runs is journalled by itself."""

    def measure(x: int, trial: int, rng: np.random.Generator) -> dict[str, Any]:
        note(calls, 0, x, trial)
        time.sleep(0.003)
        return {
            "score": score(x, trial),
            "n": number(x, trial),
            "noise": rng.normal(),
            "curve": rng.random(3),
        }

    return [measure]


def fast(calls: str) -> list[Any]:
    """Return a function of microseconds: workers write whole chunks of its runs."""

    def measure(x: int, trial: int) -> dict[str, float]:
        note(calls, 0, x, trial)
        return {"score": score(x, trial), "n": number(x, trial)}

    return [measure]


def wide(calls: str) -> list[Any]:
    """Return a function of over 1 MB a run: a thread of its own writes while others run."""

    def measure(x: int, trial: int, rng: np.random.Generator) -> dict[str, Any]:
        note(calls, 0, x, trial)
        return {"score": score(x, trial), "field": rng.random(WIDE_LENGTH)}

    return [measure]


def ragged(calls: str) -> list[Any]:
    """Return a function of microseconds whose values and texts differ in length."""

    def measure(x: int, trial: int) -> dict[str, Any]:
        note(calls, 0, x, trial)
        return {"score": score(x, trial), "spikes": spikes(x, trial), "words": words(x, trial)}

    outputs = {"score": float, "spikes": tk.ragged("spike"), "words": str}
    return [tk.stage(measure, outputs=outputs)]


def staged(calls: str) -> list[Any]:
    """Return three stages: slow runs, fast ones of their results, one of all trials together."""

    def draw(x: int, trial: int, rng: np.random.Generator) -> dict[str, Any]:
        note(calls, 0, x, trial)
        time.sleep(0.003)
        return {"score": score(x, trial), "noise": rng.normal()}

    def settle(score: float, noise: float, x: int, trial: int) -> dict[str, Any]:
        note(calls, 1, x, trial)
        return {"twice": 2 * score, "sign": noise > 0, "spikes": spikes(x, trial)}

    def sum_up(twice: Any, x: int) -> dict[str, float]:
        note(calls, 2, x, 0)
        return {"total": total(np.asarray(twice).tolist())}

    settled = {"twice": float, "sign": bool, "spikes": tk.ragged("spike")}
    return [
        tk.stage(draw, outputs=["score", "noise"]),
        tk.stage(settle, outputs=settled),
        tk.stage(sum_up, name="total", over="trial", outputs={"total": float}),
    ]


STAGES = {"slow": slow, "fast": fast, "wide": wide, "ragged": ragged, "staged": staged}


def plain(kind: str, part: Part) -> dict[str, list[Any]]:
    """Return what the runs of a stage return, by a loop that knows nothing of the package.

    Random numbers are not among it: their streams are the package's own.
    """
    n_x, n_trial = SHAPES[kind]
    if part.stage == "total":
        twice = [[2 * score(x, trial) for trial in range(n_trial)] for x in range(n_x)]
        return {"total": [total(values) for values in twice]}
    known: dict[str, Callable[[int, int], Any]] = {
        "score": score,
        "n": number,
        "spikes": spikes,
        "words": words,
        "twice": lambda x, trial: 2 * score(x, trial),
    }
    return {
        name: [function(x, trial) for x in range(n_x) for trial in range(n_trial)]
        for name, function in known.items()
    }


# ---- the sweeps


def spaces(kind: str) -> list[Any]:
    """Return the first half of the space, and all of it."""
    n, m = SHAPES[kind]
    trials = tk.replicates(m) if kind in ("slow", "wide", "staged") else range(m)
    return [tk.grid(x=range(upto), trial=trials) for upto in (n // 2, n)]


def sweep(
    kind: str, store: Path, calls: Path, part: int = 1, bad: dict[str, Any] | None = None
) -> tk.Sweep:
    """Return the sweep over a part of the space (0) or all of it (1).

    ``bad`` says ``what`` the runs of some ``ids`` do instead of what they should.
    """
    stages = STAGES[kind](str(calls))
    if bad is not None:
        walltime = tk.Resources(walltime=1.0) if bad["what"] == "hang" else None
        stages = [
            tk.stage(
                misbehaving(stages[0], bad["what"], frozenset(bad["ids"]), SHAPES[kind][1]),
                name="measure",
                max_attempts=2,
                resources=walltime,
            )
        ]
    return tk.Sweep(stages, spaces(kind)[part], store=store, seed=SEED)


def misbehaving(
    function: Callable[..., Any], what: str, ids: frozenset[int], n_trial: int
) -> Callable[..., Any]:
    """Return the function that does something else in some runs."""

    def measure(x: int, trial: int, rng: np.random.Generator) -> Any:
        found = function(x, trial, rng)
        if what == "leak":
            _leaked.append(bytearray(b"x" * (4 << 20)))
        return misdeeds.MISDEEDS[what](found) if x * n_trial + trial in ids else found

    return measure


_leaked: list[bytearray] = []
