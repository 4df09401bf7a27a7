"""A snapshot in a terminal, drawn by rich.

Every color stands beside a word or a sign that says the same.
"""

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from toolkit.markup import COLORS
from toolkit.views.plain import printable
from toolkit.views.snapshot import Counts, Snapshot, StageState
from toolkit.views.text import amount, between, duration
from toolkit.views.words import is_over, many, mark, one_line, rate_text, runs_text

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_NARROWEST = 30
_SAID = ("exception", "worker died")  # reasons that the name of the error tells
_LINE_ENDS = re.compile(r"[\n\t]")
_STAGES = 12  # that are drawn one by one
_FAILURES = 5
_GOOD, _WARY, _BAD = (f"bold {COLORS[state]}" for state in ("done", "blocked", "failed"))
_SIGNS = {
    "starting": ("◌", "o"),
    "running": ("●", "*"),
    "paused": ("‖", "="),
    "stopping": ("●", "*"),
    "done": ("✓", "+"),
    "idle": ("○", "o"),
    "cancelled": ("✗", "x"),
    "error": ("✗", "x"),
    "interrupted": ("✗", "x"),
}


class _Part(NamedTuple):
    """One kind of runs in a bar: a sign, one for terminals that have ASCII only, and a color.

    The colors are told from each other by color-blind eyes, on dark and on light.
    """

    name: str
    sign: str
    plain: str
    color: str


_PARTS = (
    _Part("done", "━", "=", COLORS["done"]),
    _Part("stale", "≈", "~", COLORS["stale"]),
    _Part("failed", "×", "x", COLORS["failed"]),
    _Part("blocked", "○", "o", COLORS["blocked"]),
    _Part("running", "▸", ">", COLORS["running"]),
    _Part("pending", "·", ".", ""),
)


def render(snapshot: Snapshot, *, width: int, ascii_only: bool = False) -> "RenderableType":
    """Return what rich draws of a sweep.

    A title, a bar for each stage with its counts, rates and the time that is left, cost, tiers,
    the most frequent failures, the slowest run; at the end the finished mark. Text that comes from
    runs is shown as it is: neither the terminal nor rich takes any of it for a command.

    Parameters
    ----------
    snapshot
        How the sweep stands.
    width
        Columns of the terminal; no line is longer.
    ascii_only
        Whether the terminal has no other signs.
    """
    from rich.console import Group

    draw = _Drawing(max(width, _NARROWEST), ascii_only)
    lines = [
        *draw.title(snapshot),
        *draw.stages(snapshot),
        *draw.outlook(snapshot),
        *draw.tiers(snapshot),
        *draw.failures(snapshot),
        *draw.slowest(snapshot),
    ]
    if snapshot.dashboard_link and not snapshot.is_ended:
        lines.append(draw.text(f"Dask dashboard: {snapshot.dashboard_link}", "dim"))
    if snapshot.is_ended:
        lines.append(draw.text(f"{draw.sign(snapshot)} {mark(snapshot)}", _mark_style(snapshot)))
    return Group(*lines)


class _Drawing:
    """Makes the lines, none longer than ``width``."""

    def __init__(self, width: int, ascii_only: bool) -> None:
        self._width, self._ascii = width, ascii_only

    def text(self, words: str, style: str = "") -> "Text":
        """Return one line of text, cut to fit."""
        from rich.text import Text

        words = _LINE_ENDS.sub(" ", printable(words))
        if self._ascii:
            words = words.encode("ascii", "replace").decode()
        made = Text(words, style=style, no_wrap=True, end="")
        made.truncate(self._width, overflow="ellipsis" if not self._ascii else "crop")
        made.end = "\n"
        return made

    def wrapped(self, items: Iterable[tuple[str, str]], *, indent: int = 0) -> list["Text"]:
        """Return items, each with its style, in as many lines as they need; none is broken."""
        from rich.text import Text

        lines: list[Text] = []
        for words, style in items:
            piece = self.text(words, style)
            room = self._width - indent
            piece.truncate(room)
            if lines and lines[-1].cell_len + 3 + piece.cell_len <= self._width:
                lines[-1].append("   ").append_text(piece)
            else:
                lines.append(Text(" " * indent, no_wrap=True).append_text(piece))
        return lines

    def sign(self, snapshot: Snapshot) -> str:
        """Return the sign of the state of a sweep."""
        has_failed = snapshot.counts.failed or snapshot.counts.blocked
        sign, plain = ("!", "!") if is_over(snapshot) and has_failed else _SIGNS[snapshot.state]
        return plain if self._ascii else sign

    def title(self, snapshot: Snapshot) -> list["Text"]:
        """Return the state, what is run, where the results are, for how long it has been going."""
        where = snapshot.store or "results in memory"
        since = "" if snapshot.elapsed is None else f"{duration(snapshot.elapsed)} elapsed"
        head = f"{self.sign(snapshot)} {snapshot.state}"
        room = self._width - len(head) - len(since) - 4
        if len(where) > room:
            where = ("..." if self._ascii else "…") + where[-max(room - 3, 8) :]
        made = self.text(f"{head}  {where}  {since}".rstrip(), "")
        made.stylize(f"bold {_state_style(snapshot)}".strip(), 0, len(head))
        lines = [made]
        if snapshot.message:
            lines.append(self.text(f"  {one_line(snapshot.message)}"))
        return lines

    def stages(self, snapshot: Snapshot) -> list["Text"]:
        """Return a bar and the counts of each stage; those that need no look in a line."""
        shown, others = _worth_a_look(snapshot.stages)
        lines = []
        if others:
            counts = sum((each.counts for each in others), start=Counts())
            words = f"{len(others)} more stages: {counts.done:,} of {counts.total:,} runs done"
            lines.append(self.text(words, "dim"))
        longest = min(max((len(each.name) for each in shown), default=0), self._width // 4, 24)
        for stage in shown:
            lines += self._stage(stage, longest)
        if not snapshot.stages:
            lines.append(self.text("no stage has begun"))
        return lines

    def _stage(self, stage: StageState, longest: int) -> list["Text"]:
        counts = stage.counts
        name = self.text(stage.name)
        name.truncate(longest, overflow="crop" if self._ascii else "ellipsis", pad=True)
        percent = _percent(counts).rjust(6)
        width = max(self._width - longest - len(percent) - 3, 10)
        line = name.append(" ").append_text(self._bar(counts, width)).append(f" {percent}")
        return [line, *self.wrapped(self._said(stage), indent=min(longest + 1, self._width // 4))]

    def _bar(self, counts: Counts, width: int) -> "Text":
        from rich.text import Text

        cells = _cells([_amount(counts, part.name) for part in _PARTS], width)
        bar = Text(no_wrap=True)
        for part, length in zip(_PARTS, cells, strict=True):
            bar.append((part.plain if self._ascii else part.sign) * length, part.color or "dim")
        return bar

    def _said(self, stage: StageState) -> list[tuple[str, str]]:
        """Return the counts with the signs that stand for them, and how fast it goes."""
        items = []
        for part in _PARTS:
            count = getattr(stage.counts, part.name)
            if not count and part.name != "done":
                continue
            sign = part.plain if self._ascii else part.sign
            words = {
                "done": f"{count:,} of {stage.counts.total:,} done",
                "running": f"{count:,} of them running",
            }.get(part.name, f"{count:,} {part.name}")
            items.append((part, f"{sign} {words}"))
        items.sort(key=lambda item: item[0].name == "running")  # of those that are pending
        said = [(words, part.color) for part, words in items]
        if stage.rate and stage.counts.pending:
            said.append((rate_text(stage.rate), ""))
        if stage.seconds is not None:
            said.append((f"{duration(stage.seconds)} a run", "dim"))
        return said

    def outlook(self, snapshot: Snapshot) -> list["Text"]:
        """Return the time that is left, the cost, the workers."""
        items = []
        if snapshot.left is not None and not snapshot.is_ended and snapshot.counts.pending:
            left = between(snapshot.left.low, snapshot.left.high)
            items.append((f"{left} left", "bold"))
        if snapshot.spent is not None:
            items.append((f"{snapshot.spent} spent", ""))
        if snapshot.to_spend is not None and snapshot.counts.pending:
            items.append((f"about {snapshot.to_spend} to come", ""))
        if snapshot.workers and not snapshot.is_ended:
            workers = len(snapshot.workers)
            threads = sum(each.threads for each in snapshot.workers)
            items.append((f"{many(workers, 'worker')}, {many(threads, 'thread')}", ""))
        return self.wrapped(items)

    def tiers(self, snapshot: Snapshot) -> list["Text"]:
        """Return a table of the tiers, and why workers are waited for."""
        tiers = [each for each in snapshot.tiers if each.name or each.waits]
        if not tiers or snapshot.is_ended:
            return []
        several = len({each.stage for each in tiers}) > 1
        columns = [("tier", [each.name or "any" for each in tiers])]
        if several:
            columns.append(("stage", [each.stage for each in tiers]))
        columns += [
            ("pending", [f"{each.pending:,}" for each in tiers]),
            ("running", [f"{each.running:,}" for each in tiers]),
            ("workers", [f"{each.workers:,}" for each in tiers]),
        ]
        for unit, of in (("core-h", "core_hours"), ("GPU-h", "gpu_hours")):
            spent = [getattr(each.spent, of) for each in tiers]
            left = [None if each.left is None else getattr(each.left, of) for each in tiers]
            if of == "core_hours" or any(spent) or any(left):
                columns += [(f"{unit} spent", [_hours(each) for each in spent])]
                columns += [(f"{unit} left", [_hours(each) for each in left])]
        lines = self._table(columns, texts=2 if several else 1)
        for each in tiers:
            if each.waits:
                lines.append(
                    self.text(f"  {each.name or 'workers'}: {one_line(each.waits)}", "italic")
                )
        return lines

    def failures(self, snapshot: Snapshot) -> list["Text"]:
        """Return the most frequent failures, a line each."""
        groups = snapshot.failures[:_FAILURES]
        if not groups:
            return []
        kinds = max(snapshot.n_failure_kinds, len(snapshot.failures))
        failed = snapshot.counts.failed
        heading = f"{runs_text(failed)} failed in {many(kinds, 'way')}"
        lines = [self.text(heading, _BAD)]
        several = len(snapshot.stages) > 1
        rows = []
        for each in groups:
            place = each.where or ("" if each.reason in _SAID else each.reason)
            error = each.exception.rpartition(".")[2]
            rows.append(
                [f"{each.count:,}", *([each.stage] if several else []), error, place, each.message]
            )
        wide = [max(len(one_line(row[at])) for row in rows) for at in range(len(rows[0]) - 1)]
        most = max(self._width // 4, 8)
        for row in rows:
            cells = [one_line(row[0]).rjust(wide[0])]
            for cell, size in zip(row[1:-1], wide[1:], strict=True):
                size = min(size, most)
                cut = self.text(cell)
                cut.truncate(size, overflow="crop" if self._ascii else "ellipsis", pad=True)
                cells.append(cut.plain)
            lines.append(self.text("  " + "  ".join([*filter(None, cells), one_line(row[-1])])))
        if kinds > len(groups):
            lines.append(self.text(f"  and {many(kinds - len(groups), 'more way')}", "dim"))
        return lines

    def slowest(self, snapshot: Snapshot) -> list["Text"]:
        """Return the run that took longest, or takes."""
        if not snapshot.slowest:
            return []
        run = snapshot.slowest[0]
        labels = ", ".join(f"{name}={_label(value)}" for name, value in run.labels.items())
        so_far = " so far" if run.is_running and not snapshot.is_ended else ""
        of = f" of {run.stage}" if len(snapshot.stages) > 1 else ""
        words = f"slowest: run {run.run}{of}, {duration(run.seconds)}{so_far}"
        return [self.text(f"{words} ({labels})" if labels else words, "dim")]

    def _table(self, columns: Sequence[tuple[str, Sequence[str]]], *, texts: int) -> list["Text"]:
        """Return aligned columns, the first of them texts, as many of them as fit."""
        lines = [""] * (1 + len(columns[0][1]))
        for at, (head, cells) in enumerate(columns):
            words = [one_line(each) for each in (head, *cells)]
            size = min(max(map(len, words)), max(self._width // 4, 12))
            if at and len(lines[0]) + 2 + size > self._width:
                break
            for number, each in enumerate(words):
                cell = each[:size]
                lines[number] += "  " + (cell.ljust(size) if at < texts else cell.rjust(size))
        return [self.text(each, "" if number else "dim") for number, each in enumerate(lines)]


def _worth_a_look(
    stages: Sequence[StageState],
) -> tuple[Sequence[StageState], Sequence[StageState]]:
    """Return the stages to draw, and those that are summed up where there are many."""
    if len(stages) <= _STAGES:
        return stages, ()
    ranked = sorted(
        range(len(stages)),
        key=lambda at: (
            not stages[at].counts.running,
            not stages[at].counts.failed,
            not stages[at].counts.pending,
            at,
        ),
    )
    chosen = set(ranked[:_STAGES])
    shown = [stage for at, stage in enumerate(stages) if at in chosen]
    return shown, [stage for at, stage in enumerate(stages) if at not in chosen]


def _cells(amounts: Sequence[int], width: int) -> list[int]:
    """Deal the cells of a bar out: at least one for what there is, the rest by shares."""
    total = sum(amounts)
    if not total:
        return [0] * (len(amounts) - 1) + [width]
    cells = [max(1, math.floor(each * width / total)) if each else 0 for each in amounts]
    while sum(cells) != width:
        short = sum(cells) < width
        wanted = [each * width / total - got for each, got in zip(amounts, cells, strict=True)]
        if short:
            cells[wanted.index(max(wanted))] += 1
            continue
        largest = [-gap if got > 1 else -math.inf for gap, got in zip(wanted, cells, strict=True)]
        cells[largest.index(max(largest))] -= 1
    return cells


def _amount(counts: Counts, name: str) -> int:
    if name == "pending":
        return max(0, counts.pending - counts.running)
    return int(getattr(counts, name))


def _percent(counts: Counts) -> str:
    """Return the share of runs with an outcome: 100 % only where none is pending."""
    if not counts.total:
        return "-"
    share = 100 * counts.ended / counts.total
    return f"{100 if not counts.pending else min(math.floor(share), 99)} %"


def _hours(hours: float | None) -> str:
    return "?" if hours is None else amount(hours)


def _label(value: Any) -> str:
    words = f"{value:.6g}" if isinstance(value, float) else str(value)
    return words if len(words) <= 40 else f"{words[:38]} …"


def _state_style(snapshot: Snapshot) -> str:
    if not snapshot.is_ended:
        return COLORS["blocked" if snapshot.state in ("paused", "stopping") else "running"]
    return _mark_style(snapshot).removeprefix("bold ")


def _mark_style(snapshot: Snapshot) -> str:
    if snapshot.state == "idle":
        return "bold"
    if not is_over(snapshot):
        return _BAD
    has_failed = snapshot.counts.failed or snapshot.counts.blocked
    return _WARY if has_failed else _GOOD
