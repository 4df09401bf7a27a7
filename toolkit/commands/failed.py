"""The failed runs of a store as text: one by one, in a table and grouped."""

from typing import Any

from toolkit.views.failed import Failed, by_kind, failed_runs

__all__ = ["Failed", "failed_runs", "grouped", "groups_text", "one_text", "table_text"]

_LONGEST_LOG = 2_000  # characters of a log that are shown
_LONGEST_ERROR = 300  # characters of an error in a table


def grouped(found: list[Failed]) -> list[dict[str, Any]]:
    """Return failures counted by stage, exception and place, the most frequent first."""
    return [
        {
            "exception": members[0].exception,
            "where": members[0].where,
            "count": len(members),
            "run": members[0].run,
            "labels": members[0].labels,
            "message": members[0].message,
            "stage": members[0].stage,
        }
        for members in by_kind(found, lambda each: (each.stage, each.exception, each.where))
    ]


def table_text(found: list[Failed], limit: int, width: int) -> str:
    """Return a line a run: its id, its labels, what was raised."""
    from toolkit.views.text import table

    names = list(dict.fromkeys(name for each in found for name in each.labels))
    several = len({each.stage for each in found}) > 1
    rows = [
        [
            *([each.stage] if several else []),
            each.run,
            *(_label(each.labels.get(name)) for name in names),
            _shortened(_error(each.exception, each.message)),
        ]
        for each in found[:limit]
    ]
    heads = [*(["stage"] if several else []), "run", *names, "error"]
    return table(heads, rows, width=width) + _more(len(found) - limit)


def groups_text(groups: list[dict[str, Any]], limit: int, width: int) -> str:
    """Return a line a group: how many, an example, what was raised and where."""
    from toolkit.views.text import table

    rows = [
        [
            each["count"],
            each["run"],
            each["where"],
            _shortened(_error(each["exception"], each["message"])),
        ]
        for each in groups[:limit]
    ]
    return table(["runs", "such as", "where", "error"], rows, width=width) + _more(
        len(groups) - limit
    )


def one_text(each: Failed) -> str:
    """Return all about one run."""
    from toolkit.resources import describe_memory

    labels = ", ".join(f"{name}={_label(value)}" for name, value in each.labels.items())
    facts = [
        f"attempts: {each.attempts}",
        f"host: {each.host}" if each.host else "",
        f"peak memory: {describe_memory(each.peak_memory)}" if each.peak_memory else "",
        f"exit code: {each.exit_code}" if each.exit_code is not None else "",
    ]
    lines = [
        f"run {each.run} of {each.stage}: {labels}",
        ", ".join(fact for fact in facts if fact),
        *([each.traceback.strip()] if each.traceback.strip() else []),
    ]
    if each.message.strip() not in each.traceback:  # the run was ended, and raised nothing itself
        lines.append(_error(each.exception, each.message))
    if each.log.strip() and each.log.strip() not in each.message:
        lines += ["", "What it said last:", _end_of(each.log)]
    return "\n".join(lines)


def _error(exception: str, message: str) -> str:
    """Return an error as one reads it: types of this package without its modules."""
    name = exception.rpartition(".")[2] if exception.startswith("toolkit.") else exception
    return f"{name}: {message}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else f"{text[: _LONGEST_ERROR - 2]} …"


def _end_of(log: str) -> str:
    """Return the last lines of a log."""
    text = log.strip("\n")
    if len(text) <= _LONGEST_LOG:
        return text
    return "… " + text[-_LONGEST_LOG:].partition("\n")[2]


def _label(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _more(count: int) -> str:
    return f"\n… {count:,} more; --limit shows more, --group counts them" if count > 0 else ""
