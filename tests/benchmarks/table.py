"""Rows as text: the ratios first."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cases import CASES, Case, Target
from duel import BASELINE, Row

_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("", lambda row: row.contender),
    ("runs", lambda row: f"{row.runs:,}" + ("*" if row.is_smaller else "")),
    ("wall/Pool (best)", lambda row: _ratio(row, "wall")),
    ("CPU/Pool (best)", lambda row: _ratio(row, "cpu")),
    ("/ideal", lambda row: _number(row, "ideal", "{:.3f}")),
    ("wall s", lambda row: _number(row, "wall_seconds", "{:.2f}")),
    ("CPU s", lambda row: _number(row, "cpu_seconds", "{:.2f}")),
    ("inodes", lambda row: _number(row, "inodes", "{:,.0f}")),
    ("kB", lambda row: _number(row, "bytes", "{:,.0f}", scale=1e-3)),
    ("open first ms", lambda row: _number(row, "open_first", "{:,.0f}", scale=1e3)),
    ("warm ms", lambda row: _number(row, "open_warm", "{:,.1f}", scale=1e3)),
    ("select ms", lambda row: _number(row, "select", "{:,.1f}", scale=1e3)),
    ("reduce ms", lambda row: _number(row, "reduce", "{:,.1f}", scale=1e3)),
    ("start s", lambda row: _number(row, "start", "{:.1f}")),
    ("first sweep s", lambda row: _number(row, "first", "{:.1f}")),
    ("growth MB", lambda row: _number(row, "growth", "{:.0f}")),
)
NOTES = (
    "wall, CPU: over Pool's, median of the alternating pairs (best against best); seconds: the "
    "best. /ideal: median.\n"
    "* fewer runs than the case has, against Pool with as many. start, first sweep: cluster or "
    "library, and its first small sweep,\n"
    "not part of the other columns. open first: with its imports, in a fresh process."
)


def table(case: Case, rows: Sequence[Row]) -> str:
    """Return the table of a case, its targets below it."""
    columns = [
        (title, [show(row) for row in rows])
        for title, show in _COLUMNS
        if title == "" or any(show(row) != "-" for row in rows)
    ]
    widths = [max(map(len, (title, *cells))) for title, cells in columns]
    lines = [
        "  ".join(
            text.ljust(width) if at == 0 else text.rjust(width)
            for at, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in zip(*([title, *cells] for title, cells in columns), strict=True)
    ]
    lines[1:1] = ["-" * len(lines[0])]
    problems = [f"{row.contender}: {_last_line(row.problem)}" for row in rows if row.problem]
    return "\n".join([f"{case.name}: {case.title}", *lines, *problems, *verdicts(case, rows)])


def markdown(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return what was measured of all cases as one table for the documentation."""
    lines = [
        "| case | | runs | wall | CPU | inodes | kB | open ms, first / warm | select ms "
        "| reduce ms |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for case in CASES:
        for each in measured.get(case.name, ()):
            row = Row(**each)
            first = _number(row, "open_first", "{:,.0f}", scale=1e3)
            reads = [
                _number(row, name, "{:,.1f}", scale=1e3)
                for name in ("open_warm", "select", "reduce")
            ]
            cells = (
                case.name if row.contender == BASELINE else "",
                row.contender,
                f"{row.runs:,}" + ("*" if row.is_smaller else ""),
                _number(row, "wall", "{:.2f}") if row.contender != BASELINE else "1",
                _number(row, "cpu", "{:.2f}") if row.contender != BASELINE else "1",
                _number(row, "inodes", "{:,.0f}"),
                _number(row, "bytes", "{:,.0f}", scale=1e-3),
                f"{first} / {reads[0]}" if first != "-" else "-",
                *reads[1:],
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def verdicts(case: Case, rows: Sequence[Row]) -> list[str]:
    """Return a line for each target: reached or missed, and by how much."""
    ours = next((row for row in rows if row.contender == "toolkit"), None)
    return [] if ours is None else [_verdict(target, ours) for target in case.targets]


def _verdict(target: Target, ours: Row) -> str:
    found = ours.measures.get(target.column)
    best = ours.measures.get(f"{target.column}_best")
    unit = f" {target.unit}" if target.unit else ""
    asked = f"at most {target.at_most:g}{unit}"
    if found is None:
        return f"  ?    {target.column}: not measured, {asked}"
    if target.column == "wall" and best is not None:
        found = min(found, best)
    verdict = "ok  " if found <= target.at_most else "MISS"
    return f"  {verdict} {target.column}: {found:.3g}{unit}, {asked}"


def _ratio(row: Row, kind: str) -> str:
    median, best = row.measures.get(kind), row.measures.get(f"{kind}_best")
    if row.contender == BASELINE:
        return "1"
    return "-" if median is None else f"{median:.2f} ({best:.2f})"


def _number(row: Row, name: str, form: str, *, scale: float = 1.0) -> str:
    value = row.measures.get(name)
    return "-" if value is None else form.format(value * scale)


def _last_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[-1] if (text or "").strip() else ""
