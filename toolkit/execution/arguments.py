"""What a sweep and its verbs are given, checked before anything runs."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toolkit.errors import SweepError
from toolkit.execution.order import check_order
from toolkit.resources import parse_walltime
from toolkit.spaces.grid import grid
from toolkit.spaces.space import Space

if TYPE_CHECKING:
    from toolkit.execution.work import Policy

RERUN = ("failed", "stale", "damaged", "all")


def check_frozen(frozen: object) -> Mapping[str, object]:
    """Return the frozen inputs by name, none where there are none."""
    if frozen is None:
        return {}
    if not isinstance(frozen, Mapping) or not all(isinstance(name, str) for name in frozen):
        raise SweepError(
            f"frozen={type(frozen).__name__} must be a mapping of the argument's name to the "
            "object, such as frozen={'data': data}."
        )
    return frozen


def check_store(store: object) -> str | Path | None:
    """Return the path of a store, or None."""
    if store is None or isinstance(store, str | Path):
        return store
    if isinstance(store, os.PathLike):
        return Path(store)
    raise SweepError(
        f"store={store!r} is not the path of a store. Give a folder such as 'results.zarr', or "
        "nothing to keep the results in memory."
    )


def check_seed(seed: object) -> int:
    """Return the seed of a sweep."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SweepError(f"seed={seed!r} must be a whole number of at least 0.")
    return seed


def check_durability(durability: str) -> Literal["process", "power"]:
    """Return what a result survives."""
    if durability not in ("process", "power"):
        raise SweepError(f"durability={durability!r} must be 'process' or 'power'.")
    return durability  # type: ignore[return-value]


def check_max_failures(max_failures: int | None) -> int | None:
    """Return how many runs may fail, None for any number."""
    is_count = isinstance(max_failures, int) and not isinstance(max_failures, bool)
    if max_failures is not None and (not is_count or max_failures < 0):
        raise SweepError(f"max_failures={max_failures!r} must be at least 0, or None.")
    return max_failures


def check_space(space: object) -> Space:
    """Return a space, or the grid of a mapping."""
    if isinstance(space, Space):
        return space
    if not isinstance(space, Mapping):
        raise SweepError(
            f"space={type(space).__name__} is not a space. Give tk.grid(...), another space, or "
            "a mapping of axes such as {'beta': [0.1, 0.2]}."
        )
    return grid(space)


def check_policy(
    order: str,
    max_failures: int | None,
    time_limit: float | str | None,
    log_level: int | str,
) -> "Policy":
    """Return the order and the limits of one start."""
    from toolkit.execution.work import Policy
    from toolkit.stages.listening import check_log_level

    return Policy(
        order=check_order(order),
        max_failures=check_max_failures(max_failures),
        time_limit=None if time_limit is None else parse_walltime(time_limit),
        log_level=check_log_level(log_level),
    )


def check_rerun(rerun: str | Iterable[str]) -> frozenset[str]:
    """Return what to run again as a set, or raise a SweepError that lists what can be given."""
    is_one = isinstance(rerun, str) or not isinstance(rerun, Iterable)
    given: list[str] = [rerun] if is_one else list(rerun)  # type: ignore[list-item]
    unknown = [each for each in given if each not in RERUN]
    if unknown:
        raise SweepError(
            f"rerun={', '.join(map(repr, unknown))} is not known. Choose among "
            f"{', '.join(map(repr, RERUN))}."
        )
    return frozenset(given)
