"""What failed: kinds of failures with a traceback of each, and how to run one again."""

from toolkit.views.report.elements import (
    code,
    count,
    dim,
    folded,
    note,
    section,
    text,
    verbatim,
)
from toolkit.views.report.material import Material
from toolkit.views.report.spaces import shown_labels
from toolkit.views.snapshot import FailureGroup

_SHOWN_RUNS = 10


def failures_section(material: Material) -> str:
    """Return the groups of failures with most runs."""
    shown = material.snapshot
    if not shown.failures:
        return section("Failures", note("No run failed."))
    parts = [_group(group) for group in shown.failures]
    left = shown.n_failure_kinds - len(shown.failures)
    said = f"{count(shown.counts.failed, 'run')} failed"
    if shown.counts.blocked:
        said += f", and {shown.counts.blocked:,} that need one of them were blocked"
    said += f"; {count(shown.n_failure_kinds, 'kind')} of failure"
    said += f", of which those with most runs are shown ({left:,} left out)." if left > 0 else "."
    return section("Failures", note(said), *parts)


def _group(group: FailureGroup) -> str:
    where = f" at {code(group.where, 200)}" if group.where else ""
    head = f"<b>{count(group.count, 'run')}</b> of {text(group.stage, 80)}: "
    head += f"<b>{text(_name(group.exception), 200)}</b>{where}"
    if group.reason not in ("", "exception"):
        head += dim(f" ({group.reason})")
    ids = ", ".join(f"{run:,}" for run in group.runs[:_SHOWN_RUNS])
    more = " …" if group.count > min(len(group.runs), _SHOWN_RUNS) else ""
    lines = [f"<p>{head}</p>", f"<p>{text(group.message, 1000)}</p>"]
    first = [f"first: {shown_labels(group.labels)}" if group.labels else ""]
    first += [f"on {text(group.host, 100)}" if group.host else ""]
    first += [f"tier {text(group.tier, 80)}" if group.tier else ""]
    said = "; ".join(each for each in first if each)
    lines.append(f'<p class="dim">runs {ids}{more}{"; " if said else ""}{said}</p>')
    if group.reproduce:
        lines.append(f"<p>Run it again: {code(group.reproduce, 1000)}</p>")
    if group.traceback.strip():
        lines.append(folded("Traceback", verbatim(group.traceback)))
    return f'<div class="failure">{"".join(lines)}</div>'


def _name(exception: str) -> str:
    """Return the type of an error as one reads it."""
    return exception.rpartition(".")[2] if exception.startswith("toolkit.") else exception
