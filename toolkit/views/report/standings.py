"""How the sweep stands, how it ended, and what it cost."""

from toolkit.views.report.elements import (
    count,
    dim,
    facts,
    hours,
    note,
    section,
    subheading,
    table,
    text,
    time_of,
    took,
    verbatim,
)
from toolkit.views.report.material import Material
from toolkit.views.snapshot import Cost, Counts, Snapshot, StageState, TierState

_STATES = ("done", "stale", "failed", "blocked", "pending")

WORDS = {
    "starting": "It is being started.",
    "running": "It is running: what follows is how it stood at that moment.",
    "paused": "It is paused: nothing further is handed out.",
    "stopping": "It is stopping: what runs goes on to its end.",
    "cancelled": "It was cancelled with runs pending.",
    "error": "It was ended by an error with runs pending.",
    "idle": "Runs are pending, and nobody runs it.",
    "interrupted": "It was interrupted: the process that ran it has died.",
}


def summary(material: Material) -> str:
    """Return the few numbers that one looks for first."""
    shown, counts = material.snapshot, material.snapshot.counts
    measured = sum(float(stage.measured.sum(dtype="f8")) for stage in material.stages)
    cells = [
        (f"{counts.total:,}", "run" if counts.total == 1 else "runs"),
        (text(_share(counts.done + counts.stale, counts.total)), "done"),
        (f"{counts.failed + counts.blocked:,}", "failed or blocked"),
    ]
    if counts.pending:
        cells.append((f"{counts.pending:,}", "pending"))
    cells.append((took(measured) if measured else "–", "wall time of all runs"))
    if shown.spent is not None:
        cells.append((text(hours(shown.spent.core_hours)), "core-hours"))
        if shown.spent.gpu_hours:
            cells.append((text(hours(shown.spent.gpu_hours)), "GPU-hours"))
    boxes = "".join(f"<div><b>{big}</b><span>{text(what)}</span></div>" for big, what in cells)
    return f'<div class="numbers">{boxes}</div>'


def status_section(material: Material) -> str:
    """Return the counts by state, stage by stage and tier by tier, and how it ended."""
    shown = material.snapshot
    parts = [note(f"{_ending(shown)} {dim('As of ' + time_of(shown.at) + '.')}")]
    if shown.message:
        parts.append(_said(shown.message))
    if not shown.counts.total:
        return section("Status", *parts, note("No run has been registered yet."))
    parts += [_bar(shown.counts), _key(shown.counts), _stages(shown.stages)]
    if shown.tiers:
        parts += [subheading("By tier"), _tiers(shown.tiers)]
    return section("Status", *parts)


def costs_section(material: Material) -> str:
    """Return the core- and GPU-hours that were spent, and those to come."""
    shown = material.snapshot
    lines = [
        ("spent", "" if shown.spent is None else text(shown.spent)),
        ("expected still", _to_come(shown)),
    ]
    parts = [facts(lines)]
    if shown.spent is None:
        parts.append(note("What the runs held is not recorded in this store."))
    rows = []
    for stage in material.stages:
        measured = stage.measured
        if len(measured):
            whole = float(measured.sum(dtype="f8"))
            rows.append([text(stage.name, 80), f"{len(measured):,}", took(whole)])
    if rows:
        heads = ["stage", "runs that were timed", "wall time of all"]
        parts.append(table(heads, rows, numbers=heads[1:]))
    held = [tier for tier in shown.tiers if tier.spent != Cost()]
    if held:
        body = [
            [
                text(tier.name or "all workers", 80),
                text(tier.stage, 80),
                text(hours(tier.spent.core_hours)),
                text(hours(tier.spent.gpu_hours)),
            ]
            for tier in held
        ]
        heads = ["tier", "stage", "core-hours", "GPU-hours"]
        parts += [subheading("By tier, latest session"), table(heads, body, numbers=heads[2:])]
    return section(
        "Costs",
        *parts,
        note(
            dim(
                "Core-hours are the wall time of runs multiplied by the threads that they hold; "
                "GPU-hours by the GPUs. Time in which workers waited is not among them."
            )
        ),
    )


def _said(message: str) -> str:
    """Return what the driver said; of several lines, such as a traceback, all as they are."""
    return verbatim(message, 2000) if "\n" in message else note(text(message, 1000))


def _ending(shown: Snapshot) -> str:
    counts = shown.counts
    if shown.state in WORDS:
        return WORDS[shown.state]
    if counts.failed or counts.blocked:
        return f"It ended: nothing is pending, {count(counts.failed, 'run')} failed."
    return "It is complete: every run is done." if counts.total else "Nothing has been run."


def _bar(counts: Counts) -> str:
    parts = "".join(
        f'<i class="{state}" style="flex:{getattr(counts, state)}"></i>'
        for state in _STATES
        if getattr(counts, state)
    )
    return f'<div class="bar" aria-hidden="true">{parts}</div>'


def _key(counts: Counts) -> str:
    parts = "".join(
        f'<span><i class="{state}"></i>{getattr(counts, state):,} {state} '
        f"({text(_share(getattr(counts, state), counts.total))})</span>"
        for state in _STATES
        if getattr(counts, state)
    )
    return f'<p class="key">{parts}</p>'


def _stages(stages: tuple[StageState, ...]) -> str:
    heads = ["stage", "runs", *_STATES, "median run"]
    rows = [
        [
            text(stage.name, 80),
            f"{stage.counts.total:,}",
            *(f"{getattr(stage.counts, state):,}" for state in _STATES),
            "" if stage.seconds is None else took(stage.seconds),
        ]
        for stage in stages
    ]
    return table(heads, rows, numbers=heads[1:])


def _tiers(tiers: tuple[TierState, ...]) -> str:
    heads = ["tier", "stage", "pending", "running", "workers", "waits for"]
    rows = [
        [
            text(tier.name or "all workers", 80),
            text(tier.stage, 80),
            f"{tier.pending:,}",
            f"{tier.running:,}",
            f"{tier.workers:,}",
            text(tier.waits, 200),
        ]
        for tier in tiers
    ]
    return table(heads, rows, numbers=heads[2:5])


def _to_come(shown: Snapshot) -> str:
    said = "" if shown.to_spend is None else text(shown.to_spend)
    if shown.left is not None:
        low, high = took(shown.left.low), took(shown.left.high)
        said += (", in " if said else "in ") + f"{low} to {high}"
    return said


def _share(part: int, whole: int) -> str:
    """Return a share in percent that is never rounded to none or to all."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.3g} %"
