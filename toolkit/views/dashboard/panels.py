"""Parts of the page that are text: all that comes from runs is escaped here."""

from collections.abc import Container, Iterable, Mapping
from html import escape
from typing import Any

from toolkit.views.plain import printable
from toolkit.views.text import amount, cost_text, duration

# Okabe and Ito's colors, which color-blind people tell apart; gray and white: nothing yet.
COLORS = {
    "done": "#0072B2",
    "running": "#56B4E9",
    "failed": "#D55E00",
    "blocked": "#E69F00",
    "stale": "#CC79A7",
    "pending": "#DDDDDD",
    "skipped": "#FFFFFF",
}

# Of two states whose color is that of nothing yet, as the page has it: light or dark.
_OF_THEME = {"pending": "var(--tk-pending)", "skipped": "var(--tk-ground)"}

CSS = """
:host { font: 14px/1.45 system-ui, "Noto Sans", "DejaVu Sans", sans-serif; color: var(--tk-text); }
.bk-clearfix { display: block; width: 100%; min-width: 0; max-width: 100%; }
h1 { font-size: 20px; font-weight: 600; margin: 0; }
h2 { font-size: 15px; font-weight: 600; margin: 0 0 4px; }
h2.more { margin-top: 14px; }
p { margin: 2px 0; }
table { border-collapse: collapse; }
th { font-weight: 500; color: var(--tk-dim); text-align: left;
  border-bottom: 1px solid var(--tk-line); }
th, td { padding: 2px 14px 2px 0; vertical-align: top; }
td { white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; white-space: normal; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
pre { background: var(--tk-pre); padding: 8px; overflow-x: auto; margin: 4px 0; max-height: 24em; }
code, pre { font: 12.5px/1.4 "DejaVu Sans Mono", ui-monospace, monospace; }
.dim { color: var(--tk-dim); }
.state { display: inline-block; padding: 0 8px; border-radius: 9px; color: #fff; margin: 0 6px;
  font-size: 13px; }
.stage { display: grid; grid-template-columns: minmax(5em, 14em) 1fr; gap: 0 12px; margin: 3px 0; }
.name { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar { display: flex; height: 13px; margin-top: 4px; background: var(--tk-pending);
  border-radius: 2px; overflow: hidden; }
.told { grid-column: 2; font-size: 13px; }
.key { display: inline-block; white-space: nowrap; margin-right: 14px; }
.swatch { display: inline-block; width: 11px; height: 11px; margin-right: 5px; border-radius: 2px;
  box-shadow: inset 0 0 0 1px var(--tk-edge); }
.wide { overflow-x: auto; }
"""

_STATE_COLORS = {
    "running": "#0072B2",
    "done": "#00734F",
    "error": "#B34700",
    "interrupted": "#B34700",
    "cancelled": "#B34700",
}
_BAR = ("done", "stale", "failed", "blocked", "running")


def text(value: object) -> str:
    """Return something that a run may have said as HTML that shows it."""
    return escape(printable(str(value)))


def header(title: str, document: Mapping[str, Any], *, note: str = "") -> str:
    """Return what the sweep is, how it stands, and when it will be done."""
    counts = document["counts"]
    state = str(document["state"])
    ended = counts["total"] - counts["pending"]
    told = [f"{ended:,} of {counts['total']:,} runs have ended"]
    if (rates := [each["rate"] for each in document["stages"] if each.get("rate")]) and sum(rates):
        told.append(f"{amount(sum(rates))} runs/s")
    if document.get("elapsed") is not None:
        told.append(f"{duration(document['elapsed'])} elapsed")
    if (left := document.get("left")) is not None and counts["pending"]:
        told.append(f"{_span(left)} left")
    if spent := _cost(document.get("spent")):
        to_come = _cost(document.get("to_spend"))
        told.append(f"{spent} spent" + (f", about {to_come} to come" if to_come else ""))
    color = _STATE_COLORS.get(state, "#555")
    lines = [
        f"<h1>{text(title)} "
        f"<span class='state' style='background:{color}'>{text(state)}</span></h1>",
        f"<p>{escape(' · '.join(told))}</p>",
    ]
    if document.get("message"):
        lines.append(f"<p>{text(document['message'])}</p>")
    if note:
        lines.append(f"<p class='dim'>{escape(note)}</p>")
    return "".join(lines)


def stages(document: Mapping[str, Any]) -> str:
    """Return a bar for each stage, with its counts in words."""
    return "<h2>Progress by stage</h2>" + "".join(map(_stage, document["stages"]))


def _stage(stage: Mapping[str, Any]) -> str:
    counts = stage["counts"]
    total = max(counts["total"], 1)
    parts = "".join(
        f"<div style='width:{100 * counts[state] / total:.3f}%;background:{COLORS[state]}' "
        f"title='{counts[state]:,} {state}'></div>"
        for state in _BAR
        if counts[state]
    )
    waiting = counts["pending"] - counts["running"]
    told = [
        f"<span class='key'>{swatch(state)}{number:,} {state}</span>"
        for state, number in [*((each, counts[each]) for each in _BAR), ("pending", waiting)]
        if number
    ]
    if stage.get("seconds") is not None:
        told.append(f"<span class='dim'>{escape(duration(stage['seconds']))} a run (median)</span>")
    return (
        f"<div class='stage'><div class='name' title='{text(stage['name'])}'>{text(stage['name'])}"
        f"</div><div class='bar'>{parts}</div><div class='told'>{''.join(told)}</div></div>"
    )


def tiers(document: Mapping[str, Any]) -> str:
    """Return a table of the tiers of workers, ``""`` where nothing is known of them."""
    known = document.get("tiers") or ()
    if not known:
        return ""
    kinds = ["core_hours"]
    if any((tier.get(when) or {}).get("gpu_hours") for tier in known for when in ("spent", "left")):
        kinds.append("gpu_hours")
    rows = []
    for tier in known:
        waits = tier["pending"] - tier["running"]
        costs = [(tier.get(when) or {}).get(kind) for kind in kinds for when in ("spent", "left")]
        rows.append(
            [
                text(tier["name"] or "all workers"),
                text(tier["stage"]),
                *(f"{number:,}" for number in (tier["running"], waits, tier["workers"])),
                *("–" if cost is None else amount(cost) for cost in costs),
                text(tier.get("waits") or ""),
            ]
        )
    heads = ["tier", "stage", "runs now", "runs waiting", "workers"]
    for kind in kinds:
        unit = "core-hours" if kind == "core_hours" else "GPU-hours"
        heads += [f"{unit} spent", f"{unit} to come"]
    numbers = range(2, len(heads))
    return f"<h2 class='more'>Progress by tier</h2>{table([*heads, ''], rows, numbers=numbers)}"


def slowest(document: Mapping[str, Any]) -> str:
    """Return a table of the runs that took longest."""
    has_tiers = any(each.get("tier") for each in document.get("slowest") or ())
    rows = [
        [
            text(each["stage"]),
            f"{each['run']:,}",
            escape(duration(each["seconds"])) + (" until now" if each.get("is_running") else ""),
            labels(each.get("labels") or {})
            + (f" · tier {text(each['tier'])}" * bool(each["tier"])),
        ]
        for each in document.get("slowest") or ()
    ]
    if not rows:
        return ""
    heads = ["stage", "run", "time", "labels", *(["tier"] if has_tiers else [])]
    return f"<h2>Slowest runs</h2>{table(heads, rows, numbers=(1, 2))}"


def failure_title(group: Mapping[str, Any]) -> str:
    """Return one line on failures of a kind, as plain text for a button."""
    where = f" at {group['where']}" if group["where"] else ""
    return printable(f"{group['count']:,} × {group['exception']}{where} ({group['stage']})")


def failure(group: Mapping[str, Any], *, is_closed: bool) -> str:
    """Return what is known of failures of a kind, with the traceback of the first."""
    runs = ", ".join(f"{run:,}" for run in group["runs"])
    more = ", …" if group["count"] > len(group["runs"]) else ""
    lines = [f"<p><b>{text(group['message'])}</b></p>"] if group["message"] else []
    lines.append(f"<p class='dim'>{_plural(group['count'], 'run')}: {runs}{more}</p>")
    told = [f"{name} {group[name]}" for name in ("host", "tier") if group.get(name)]
    if group["reason"] != "exception":
        told.insert(0, f"reason: {group['reason']}")
    first = labels(group.get("labels") or {})
    parts = ([f"first at {first}"] if first else []) + list(map(text, told))
    if parts:
        lines.append(f"<p>{' · '.join(parts)}</p>")
    if group["traceback"]:
        lines.append(f"<pre>{text(group['traceback'].rstrip())}</pre>")
    if group["reproduce"]:
        lines.append(f"<p class='dim'>Again, here: <code>{text(group['reproduce'])}</code></p>")
    if is_closed:
        lines.append(
            "<p class='dim'>Message and traceback need the key: open the page with the "
            "link that <code>job.page_link</code> gives.</p>"
        )
    return "".join(lines)


def labels(found: Mapping[str, Any]) -> str:
    """Return labels by their parameters."""
    return ", ".join(f"{text(name)}={text(_short(value))}" for name, value in found.items())


def swatch(state: str) -> str:
    """Return a square in the color of a state."""
    return f"<span class='swatch' style='background:{_OF_THEME.get(state, COLORS[state])}'></span>"


def legend(states: Iterable[str]) -> str:
    """Return the colors of states with their names."""
    return "".join(f"<span class='key'>{swatch(state)}{state}</span>" for state in states)


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], *, numbers: Container[int]) -> str:
    """Return a table of cells that are HTML already."""

    def line(cells: Iterable[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if at in numbers else ''}>{cell}</{tag}>"
            for at, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<div class='wide'><table><tr>{line(heads, 'th')}</tr>{body}</table></div>"


def _span(left: Mapping[str, float]) -> str:
    low, high = _about(left["low"]), _about(left["high"])
    return f"about {low}" if low == high else f"{low} to {high}"


def _about(seconds: float) -> str:
    """Return a time to come, no more exactly than anybody knows it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 36_000 else f"{seconds / 3600:,.0f} h"


def _cost(cost: Mapping[str, float] | None) -> str:
    if not cost:
        return ""
    return cost_text(cost["core_hours"], cost["gpu_hours"])


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _short(value: object) -> str:
    found = f"{value:.6g}" if isinstance(value, float) else str(value)
    return found if len(found) <= 60 else found[:59] + "…"
