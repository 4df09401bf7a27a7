"""What a run needs: memory, wall time, threads, GPUs. And the units that people write them in."""

import math
import re
from dataclasses import dataclass, replace

from toolkit.errors import ToolkitError

GiB = 2**30

THREAD_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "LOKY_MAX_CPU_COUNT"),
)
"""Environment variables by which libraries learn how many threads they may use."""

_MEMORY_UNITS = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_TIME_UNITS = {
    "s": 1, "sec": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hour": 3600, "hours": 3600,
    "d": 86400, "day": 86400, "days": 86400,
}  # fmt: skip
_NUMBER_AND_UNIT = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z]*)\s*")
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):(\d{1,2})(?::(\d{1,2}))?")


class ResourcesError(ToolkitError):
    """A resource is written in a way that has no meaning."""


@dataclass(frozen=True, init=False)
class Resources:
    """What one run needs.

    Parameters
    ----------
    memory
        Bytes, or text with a unit such as ``"16GB"`` or ``"512MiB"``.
    walltime
        The longest that one run may take: seconds, or text such as ``"90s"``, ``"20min"``,
        ``"1:30:00"`` or SLURM's ``"2-12:00:00"``.
    threads
        Threads that one run uses inside (OMP, MKL, torch).
    gpus
        GPUs that one run uses; the Dask worker resource ``GPU``.

    Raises
    ------
    ToolkitError
        If a value is negative, zero where that has no meaning, or has an unknown unit.

    Examples
    --------
    >>> Resources(memory="2GiB", walltime="1:30:00").memory == 2 * GiB
    True
    >>> Resources(walltime="20min").walltime
    1200.0
    """

    memory: int | None
    walltime: float | None
    threads: int
    gpus: int

    def __init__(
        self,
        memory: int | str | None = None,
        walltime: float | str | None = None,
        threads: int = 1,
        gpus: int = 0,
    ) -> None:
        set_field = object.__setattr__
        set_field(self, "memory", None if memory is None else parse_memory(memory))
        set_field(self, "walltime", None if walltime is None else parse_walltime(walltime))
        set_field(self, "threads", _whole("threads", threads, at_least=1))
        set_field(self, "gpus", _whole("gpus", gpus, at_least=0))

    def with_changes(self, **changes: int | float | str | None) -> "Resources":
        """Return the same resources with some fields replaced."""
        return replace(self, **changes)  # type: ignore[arg-type]


def parse_memory(value: int | float | str) -> int:
    """Return bytes from a number of bytes or text such as ``"16GB"``.

    Examples
    --------
    >>> parse_memory("1.5kB")
    1500
    """
    if isinstance(value, str):
        match = _NUMBER_AND_UNIT.fullmatch(value)
        if match is None or match[2].lower() not in _MEMORY_UNITS:
            raise ResourcesError(
                f"memory={value!r} is not an amount of memory. Write bytes, or a number with a "
                "unit: '512MB', '16GB', '2GiB'."
            )
        value = float(match[1]) * _MEMORY_UNITS[match[2].lower()]
    if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise ResourcesError(f"memory={value!r} must be above 0 bytes.")
    return round(value)


def describe_memory(nbytes: float) -> str:
    """Return bytes with a unit.

    Examples
    --------
    >>> describe_memory(512), describe_memory(3.2e9)
    ('512 B', '3.2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:,.3g} TB"


def parse_walltime(value: float | str) -> float:
    """Return seconds from a number of seconds or text such as ``"20min"`` or ``"1:30:00"``.

    Examples
    --------
    >>> parse_walltime("1-00:00:00")
    86400.0
    """
    if isinstance(value, str):
        clock = _CLOCK.fullmatch(value.strip())
        match = _NUMBER_AND_UNIT.fullmatch(value)
        if clock is not None:
            days, first, second, third = (int(part or 0) for part in clock.groups())
            if clock[4] is None and clock[1] is not None:
                value = days * 86400 + first * 3600 + second * 60
            elif clock[4] is None:
                value = first * 60 + second
            else:
                value = days * 86400 + first * 3600 + second * 60 + third
        elif match is not None and match[2].lower() in _TIME_UNITS:
            value = float(match[1]) * _TIME_UNITS[match[2].lower()]
        else:
            raise ResourcesError(
                f"walltime={value!r} is not a length of time. Write seconds, or text such as "
                "'90s', '20min', '2h', '1:30:00' or '2-12:00:00'."
            )
    if isinstance(value, bool) or not math.isfinite(value) or value <= 0:
        raise ResourcesError(f"walltime={value!r} must be above 0 seconds.")
    return float(value)


def _whole(name: str, value: int, *, at_least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ResourcesError(f"{name}={value!r} must be a whole number of at least {at_least}.")
    return value
