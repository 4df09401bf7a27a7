"""Where the results come from: code, commit, people, machines, packages."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from toolkit.views.report.elements import (
    code,
    count,
    dim,
    facts,
    folded,
    note,
    section,
    subheading,
    table,
    text,
    time_of,
    took,
)
from toolkit.views.report.material import Material, StageMaterial

_MOST_SESSIONS = 30
_TOKEN = 12  # characters of a hash that tell it from all others here


def provenance_section(material: Material) -> str:
    """Return what made the results, and every start of the sweep."""
    made_by = material.provenance
    parts = [facts(_made(material)), subheading("Code of the stages")]
    parts.append(_code(material.stages))
    inputs = made_by.get("inputs")
    if isinstance(inputs, Mapping) and inputs:
        parts += [subheading("Frozen inputs"), facts(_inputs(inputs))]
    parts += [subheading("Sessions"), _sessions(material.sessions)]
    return section("Provenance", *parts)


def environment_section(material: Material) -> str:
    """Return the packages with which the store was made, and in which sessions others were used."""
    made_by = material.provenance
    known = made_by.get("versions")
    versions = {str(k): str(v) for k, v in known.items()} if isinstance(known, Mapping) else {}
    whole = {
        "Python": made_by.get("python"),
        "parallel-analysis-toolkit": made_by.get("toolkit"),
        **versions,
    }
    lines = [(name, code(version, 80)) for name, version in whole.items() if version]
    changes = list(_other_versions(material.sessions, versions, made_by))
    return section(
        "Environment",
        note("Versions that were recorded where the store was made."),
        facts([*lines, ("platform", text(made_by.get("platform") or ""))]),
        *([note("Later sessions had others: " + "; ".join(changes) + ".")] if changes else []),
    )


def commit_of(provenance: Mapping[str, Any]) -> str:
    """Return the git commit and whether files were changed since, as HTML; "" outside of git."""
    git = provenance.get("git")
    if not isinstance(git, Mapping) or not git.get("commit"):
        return ""
    dirty = git.get("dirty")
    state = {True: "with uncommitted changes", False: "no uncommitted changes"}.get(
        dirty if isinstance(dirty, bool) else None,  # type: ignore[arg-type]
        "uncommitted changes not looked for",
    )
    return f"{code(git['commit'], 64)} ({state})"


def _made(material: Material) -> Iterator[tuple[str, str]]:
    made_by = material.provenance
    yield "store", code(material.path)
    created = made_by.get("created")
    yield "begun", time_of(created) if created else ""
    who = [text(made_by.get(key), 100) for key in ("user", "host") if made_by.get(key)]
    yield "by", " on ".join(who)
    script = made_by.get("script")
    if isinstance(script, Mapping) and script.get("file"):
        name = f":{script['name']}" if script.get("name") else ""
        yield "described in", code(f"{script['file']}{name}")
        yield (
            "hash of that file",
            code(str(script.get("content", ""))[:_TOKEN]) if script.get("content") else "",
        )
    argv = made_by.get("argv")
    if isinstance(argv, Sequence) and not isinstance(argv, str) and argv:
        yield "command", code(" ".join(map(str, argv)))
    yield "git commit", commit_of(made_by) or dim("none recorded (outside of a git repository)")
    seeds = list(
        dict.fromkeys(
            str(each["seed"]) for each in material.sessions if each.get("seed") is not None
        )
    )
    yield "seed", code(", ".join(seeds), 200) if seeds else ""


def _code(stages: Sequence[StageMaterial]) -> str:
    """Return the hashes of the code that is valid now, and of what else made runs that are kept."""
    rows = []
    for stage in stages:
        for number, identity in enumerate(stage.identities):
            if identity is not None:
                made = stage.made.get(number, 0)
                state = "valid" if number == stage.present else "before"
                parts = sorted(identity.parts.items())[:50]
                of = "<br>".join(
                    f"{text(name, 80)} {dim(str(token)[: 2 * _TOKEN])}" for name, token in parts
                )
                name, token = text(stage.name, 80), code(identity.token[:_TOKEN])
                rows.append([name, token, state, f"{made:,}", of])
    if not rows:
        return note("No stage has run yet.")
    heads = ["stage", "hash", "state", "runs it made", "of which"]
    return table(heads, rows, numbers=("runs it made",))


def _inputs(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, what in list(inputs.items())[:50]:
        if isinstance(what, Mapping):
            said = [f"{text(k, 40)} {code(v, 80)}" for k, v in what.items() if v not in (None, "")]
            yield str(name), ", ".join(said)
        else:
            yield str(name), code(what, 80)


def _sessions(sessions: Sequence[Mapping[str, Any]]) -> str:
    if not sessions:
        return note("The log names no session.")
    rows = [_session(each) for each in sessions[-_MOST_SESSIONS:]]
    heads = ["begun", "by", "program", "done", "failed", "took", "ended because"]
    shown = table(heads, rows, numbers=("done", "failed", "took"))
    left = len(sessions) - len(rows)
    if left:
        shown += note(f"{count(left, 'earlier session')} left out.")
    return shown if len(rows) <= 8 else folded(count(len(sessions), "session"), shown)


def _session(started: Mapping[str, Any]) -> list[str]:
    end = started.get("end")
    who = [text(started.get(key), 100) for key in ("user", "host") if started.get(key)]
    program = text(started.get("program") or "", 100)
    begun = [time_of(started.get("time")), " on ".join(who), program]
    if not isinstance(end, Mapping):
        return [*begun, "", "", "", dim("no end is noted: it runs, or was ended from outside")]
    seconds = end.get("seconds")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and seconds >= 0
    why = end.get("error") or end.get("because") or ""
    return [
        *begun,
        _number(end.get("done")),
        _number(end.get("failed")),
        took(seconds) if is_number else "",  # type: ignore[arg-type]
        text(why, 300),
    ]


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else ""


def _other_versions(
    sessions: Sequence[Mapping[str, Any]], known: Mapping[str, str], made_by: Mapping[str, Any]
) -> Iterator[str]:
    """Yield packages that a later session had in another version."""
    seen = set()
    first = {**known, "parallel-analysis-toolkit": made_by.get("toolkit")}
    for each in sessions:
        versions = each.get("versions")
        found = dict(versions) if isinstance(versions, Mapping) else {}
        if each.get("python"):
            found["Python"] = each["python"]
        for name, version in found.items():
            before = made_by.get("python") if name == "Python" else first.get(str(name))
            if before is not None and str(before) != str(version) and (name, version) not in seen:
                seen.add((name, version))
                if len(seen) <= 30:
                    yield f"{text(name, 60)} {code(version, 60)}"
