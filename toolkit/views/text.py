"""Tables and amounts as text, for terminals and logs."""

from collections.abc import Sequence


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, width: int = 100) -> str:
    """Return aligned columns under their headers; numbers to the right.

    Parameters
    ----------
    headers, rows
        Names of the columns, and their values, one sequence a row.
    width
        Columns of the terminal; the last column is cut to fit.

    Examples
    --------
    >>> print(table(["name", "runs"], [["a", 3], ["long", 12]]))
    name  runs
    a        3
    long    12
    """
    cells = [[_cell(value) for value in row] for row in rows]
    is_number = [
        bool(rows) and all(isinstance(row[at], int | float) for row in rows)
        for at in range(len(headers))
    ]
    wide = [max(map(len, column)) for column in zip(headers, *cells, strict=True)]
    lines = []
    for line in [list(headers), *cells]:
        parts = [
            text.rjust(size) if right else text.ljust(size)
            for text, size, right in zip(line, wide, is_number, strict=True)
        ]
        lines.append(_cut("  ".join(parts).rstrip(), width))
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return seconds in the units that people think in.

    Examples
    --------
    >>> duration(0.00012), duration(4.2), duration(3725)
    ('120 us', '4.2 s', '1 h 02 min')
    """
    for limit, factor, unit in ((1e-3, 1e6, "us"), (1.0, 1e3, "ms")):
        if seconds < limit:
            return f"{seconds * factor:.3g} {unit}"
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def between(low: float, high: float) -> str:
    """Return a time that is not known exactly: a range, or one figure where both ends are alike.

    Parameters
    ----------
    low, high
        Seconds.

    Examples
    --------
    >>> between(1500, 2900), between(40, 41), between(3, 200)
    ('25 to 48 min', 'about 40 s', '3 s to 3.3 min')
    >>> between(5000, 13000), between(200_000, 900_000)
    ('1.4 to 3.6 h', '2.3 to 10 days')
    """
    low, high = sorted((max(low, 0.0), max(high, 0.0)))
    size, unit = _unit(high)
    first, last = _figure(low / size), _figure(high / size)
    if first == last or high <= 1.1 * low:
        return f"about {_figure((low + high) / 2 / size)} {unit}"
    if low < 0.5:
        return f"up to {last} {unit}"
    if low < size:
        smaller, name = _unit(low)
        first = f"{_figure(low / smaller)} {name}"
    return f"{first} to {last} {unit}"


def amount(value: float) -> str:
    """Return three digits, or the whole number where it has more.

    Examples
    --------
    >>> amount(0.03813), amount(38.13), amount(3813.4)
    ('0.0381', '38.1', '3,813')
    """
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}"


def cost_text(core_hours: float, gpu_hours: float) -> str:
    """Return what was or will be held of cores and GPUs.

    Examples
    --------
    >>> cost_text(43.21, 3.0), cost_text(0.0058, 0.0)
    ('43.2 core-hours and 3 GPU-hours', '21 s of one core')
    """
    gpus = f" and {amount(gpu_hours)} GPU-hours" if gpu_hours else ""
    if core_hours < 0.1:
        return f"{duration(core_hours * 3600)} of one core{gpus}"
    return f"{amount(core_hours)} core-hours{gpus}"


# Seconds, the unit, and up to how many of it are said.
_UNITS = (
    (1.0, "s", 90),
    (60.0, "min", 90),
    (3600.0, "h", 48),
    (86400.0, "days", float("inf")),
)


def _unit(seconds: float) -> tuple[float, str]:
    return next((size, unit) for size, unit, most in _UNITS if seconds < most * size)


def _figure(value: float) -> str:
    """Return two digits, or the whole number where it has more."""
    return f"{value:.1f}".removesuffix(".0") if 0.05 <= value < 9.95 else f"{value:,.0f}"


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{value:.6g}"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
