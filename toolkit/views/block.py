"""A snapshot as a block of HTML without scripts: for notebooks that have no widgets."""

from html import escape
from typing import Any

from toolkit.markup import bar, folded, legend, link, rows, view
from toolkit.views.plain import printable
from toolkit.views.snapshot import FailureGroup, Snapshot, StageState
from toolkit.views.text import between, duration
from toolkit.views.words import mark

_STAGES = 40
_FAILURES = 20
_LONGEST = 300  # characters of a message
_LONGEST_TRACEBACK = 8_000


def snapshot_html(snapshot: Snapshot, *, note: str = "") -> str:
    """Return a bar for each stage with its counts, what is left, cost, failures that unfold.

    Parameters
    ----------
    snapshot
        How the sweep stands.
    note
        A sentence below it: text.
    """
    lines = [(each.name, _stage(each)) for each in snapshot.stages[:_STAGES]]
    if len(snapshot.stages) > _STAGES:
        lines.append(("", f"{len(snapshot.stages) - _STAGES:,} more stages"))
    said = mark(snapshot) or snapshot.state
    where = snapshot.store or "results in memory"
    parts = [rows(lines), _paragraph(*_outlook(snapshot))]
    if snapshot.message:
        parts.append(_paragraph(escape(_short(snapshot.message))))
    if snapshot.failures:
        parts.append(_failures(snapshot))
    if snapshot.dashboard_link and not snapshot.is_ended:
        parts.append(_paragraph(link(snapshot.dashboard_link, "Dask dashboard")))
    if note:
        parts.append(f"<div class='tk-dim'>{escape(note)}</div>")
    return view("Sweep", printable(f"{said}, {where}"), *parts)


def _stage(stage: StageState) -> str:
    counts = stage.counts
    shown = {
        "done": counts.done,
        "stale": counts.stale,
        "failed": counts.failed,
        "blocked": counts.blocked,
        "running": counts.running,
    }
    there = {name: count for name, count in shown.items() if count or name == "done"}
    running = there.pop("running", 0)
    words = legend(there | ({"pending": counts.pending} if counts.pending else {}))
    if running:
        words += legend({"running": running})
    words += f"<span class='tk-count'>of {counts.total:,} runs</span>"
    if stage.rate and counts.pending:
        words += f"<span class='tk-count tk-dim'>{stage.rate:.3g} a second</span>"
    if stage.seconds is not None:
        words += f"<span class='tk-count tk-dim'>{escape(duration(stage.seconds))} a run</span>"
    return bar(shown, max(counts.total, 1)) + words


def _outlook(snapshot: Snapshot) -> list[str]:
    found = []
    if snapshot.left is not None and snapshot.counts.pending and not snapshot.is_ended:
        found.append(f"<b>{between(snapshot.left.low, snapshot.left.high)} left</b>")
    if snapshot.elapsed is not None:
        found.append(f"{duration(snapshot.elapsed)} elapsed")
    if snapshot.spent is not None:
        found.append(f"{snapshot.spent} spent")
    if snapshot.to_spend is not None and snapshot.counts.pending:
        found.append(f"about {snapshot.to_spend} to come")
    return found


def _failures(snapshot: Snapshot) -> str:
    groups = snapshot.failures[:_FAILURES]
    body = "".join(map(_group, groups))
    more = max(snapshot.n_failure_kinds, len(snapshot.failures)) - len(groups)
    if more > 0:
        body += f"<div class='tk-dim'>and {more:,} more ways</div>"
    return folded(f"{snapshot.counts.failed:,} runs failed", body)


def _group(group: FailureGroup) -> str:
    place = f" at {group.where}" if group.where else ""
    error = group.exception.rpartition(".")[2]
    words = f"{group.count:,} × {error}{place}: {_short(group.message)}"
    labels = ", ".join(f"{name}={_label(value)}" for name, value in group.labels.items())
    first = f"such as run {group.runs[0]}" if group.runs else ""
    facts = [f"stage {group.stage}", first, labels, group.host and f"on {group.host}"]
    body = f"<div class='tk-dim'>{escape(printable(', '.join(filter(None, facts))))}</div>"
    if group.traceback.strip():
        traceback = printable(group.traceback.strip())
        if len(traceback) > _LONGEST_TRACEBACK:
            half = _LONGEST_TRACEBACK // 2
            traceback = f"{traceback[:half]}\n…\n{traceback[-half:]}"
        body += f"<pre>{escape(traceback)}</pre>"
    if group.reproduce:
        body += f"<pre>{escape(printable(group.reproduce))}</pre>"
    return folded(printable(words), body)


def _paragraph(*words: str) -> str:
    return f"<div>{', '.join(words)}</div>" if words else ""


def _short(words: str) -> str:
    words = printable(" ".join(words.split()))
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 2]} …"


def _label(value: Any) -> str:
    return _short(f"{value:.6g}" if isinstance(value, float) else str(value))
