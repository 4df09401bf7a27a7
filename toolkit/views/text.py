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


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return " ".join(str(value).split())
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{value:.6g}"


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
