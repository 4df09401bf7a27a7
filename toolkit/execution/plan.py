"""``sweep.explain()``: what is stored, what is missing, and what running it would take."""

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toolkit.clusters.tiers import Ladder
from toolkit.execution.planned import PlannedTier, planned_tiers
from toolkit.execution.reuse import Reuse
from toolkit.execution.run_queue import Ids
from toolkit.execution.sizing import batch_seconds
from toolkit.execution.staleness import changed_names
from toolkit.markup import folded, table, view
from toolkit.resources import describe_memory
from toolkit.run_status import Status
from toolkit.stages.command_call import Command
from toolkit.stages.identity import Identity
from toolkit.stages.preparing import Prepared, PreparedStage, identities
from toolkit.stages.schema import Variable
from toolkit.stages.wiring import Node
from toolkit.stores.runs.state import count_statuses

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.stores.results import Results

COLUMNS = ("runs", "stored", "missing", "failed", "stale", "batches", "bytes", "seconds", "tier")
REUSED = "reused"


class Row(Mapping[str, Any]):
    """What one stage would do, or all together: read by name, ``row.missing``, or as a mapping."""

    def __init__(self, **values: Any) -> None:
        self._values = values

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __getattr__(self, name: str) -> Any:
        if name in (*COLUMNS, REUSED):
            return self._values[name]
        raise AttributeError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "\n".join(f"{name:8} {value:>14}" for name, value in self._values.items())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a sweep would do. Nothing is run to make it.

    Attributes
    ----------
    rows
        One for each stage, by its name: ``runs`` asked for, of which ``stored``, ``missing``,
        ``failed`` and ``stale``; those that would be ``reused`` from other stores (a column of
        ``stages`` where there are any); and of the missing ones the ``batches`` they would make,
        the ``bytes`` they would store and the ``seconds`` of computing (over all threads), NaN
        where no run has shown it yet; and the ``tier`` of worker: with the tiers of a cluster,
        how many runs would start on each.
    sizes
        The dims of the space and their sizes.
    store
        Folder of the store, or "in memory".
    wiring
        The stages and what they take from each other, where there are several.
    dims
        By stage: the dims of the space that it runs over.
    changed
        By stage with stale runs: the names of what changed since they were made.
    commands
        By stage that runs a program: the program and its arguments, as they were written.
    tiers
        By stage and tier of the cluster: the missing runs that would start there, and their
        core-hours. Empty where no cluster with tiers was named.
    """

    rows: Mapping[str, Row]
    sizes: dict[str, int]
    store: str
    wiring: tuple[Node, ...] = ()
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    commands: Mapping[str, str] = field(default_factory=dict)
    tiers: Mapping[str, Mapping[str, PlannedTier]] = field(default_factory=dict)

    @property
    def stages(self) -> "pd.DataFrame":
        """One row a stage."""
        import pandas as pd

        index = pd.Index(list(self.rows), name="stage")
        columns = [*COLUMNS, *([REUSED] if any(row.reused for row in self.rows.values()) else [])]
        return pd.DataFrame([dict(row) for row in self.rows.values()], index, columns)

    @property
    def total(self) -> Row:
        """The sums over the stages."""
        return Row(
            **{
                name: _sum([row[name] for row in self.rows.values()])
                for name in (*COLUMNS[:-1], REUSED)
            }
        )

    def __str__(self) -> str:
        """Return the plan as text, a line for each stage."""
        sizes = " x ".join(f"{name} {size}" for name, size in self.sizes.items()) or "one point"
        lines = [f"{sizes}, store: {self.store}"]
        taken = {node.name: node for node in self.wiring}
        for name, row in self.rows.items():
            node = taken.get(name)
            before = f"{', '.join(node.upstream)} -> " if node is not None and node.upstream else ""
            over = f" over ({', '.join(self.dims[name])})" if node is not None else ""
            kept = ", not kept" if node is not None and not node.stage.keep else ""
            said = _sentence(row, changed_names(self.changed.get(name, ())))
            lines.append(f"  {before}{name}{over}: {said}{kept}")
            if name in self.commands:
                lines.append(f"    $ {self.commands[name]}")
            for tier, planned in self.tiers.get(name, {}).items():
                hours = planned.core_hours
                cost = "" if np.isnan(hours) else f", about {hours:.3g} core-hours"
                lines.append(f"    tier {tier}: {planned.runs:,} runs{cost}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        total = self.total
        seconds = "" if np.isnan(total.seconds) else f", about {total.seconds:,.1f} s of computing"
        summary = f"{int(total.missing):,} of {int(total.runs):,} runs to do{seconds}"
        extra = [REUSED] if any(row.reused for row in self.rows.values()) else []
        names = ["runs", "stored", "missing", "failed", "stale", *extra]
        lines = [
            [
                self._called(name),
                *(f"{int(row[each]):,}" for each in names),
                "unknown" if np.isnan(row.seconds) else f"{row.seconds:,.1f} s",
                "unknown" if np.isnan(row.bytes) else describe_memory(row.bytes),
                row.tier,
            ]
            for name, row in self.rows.items()
        ]
        heads = ["stage", *names, "computing to do", "bytes to store", "tier"]
        return view(
            "Plan",
            summary,
            table(heads, lines),
            folded("in words", f"<pre>{html.escape(str(self))}</pre>"),
        )

    def _called(self, name: str) -> str:
        """Return the name of a stage, and the dims that it runs over."""
        dims = ", ".join(self.dims.get(name, ()))
        return f"{name} ({dims})" if dims else name


def explain(
    prepared: Prepared,
    results: "Results",
    seed: int = 0,
    others: Iterable["Results"] = (),
    ladder: Ladder | None = None,
) -> Plan:
    """Compare what a sweep asks for with what its store holds.

    Raises
    ------
    StoreError
        If the store cannot be read, or its parameters cannot be mapped to the sweep's.
    ClusterError
        If no tier of the ladder can serve a run that is missing.
    """
    known = identities(prepared, seed)
    changed: dict[str, tuple[str, ...]] = {}
    rows = {}
    tiers: dict[str, Mapping[str, PlannedTier]] = {}
    for each in prepared.stages:
        rows[each.name], names, tiers[each.name] = _row(
            prepared, each, results, known[each.name], tuple(others), ladder
        )
        if names:
            changed[each.name] = names
    return Plan(
        rows=rows,
        sizes=dict(prepared.space.sizes),
        store="in memory" if results.path is None else str(results.path),
        wiring=prepared.nodes if len(prepared.nodes) > 1 else (),
        dims={each.name: tuple(each.space.sizes) for each in prepared.stages},
        changed=changed,
        commands={
            each.name: str(each.stage.function)
            for each in prepared.stages
            if isinstance(each.stage.function, Command)
        },
        tiers=tiers if ladder is not None else {},
    )


def _row(
    whole: Prepared,
    prepared: PreparedStage,
    results: "Results",
    identity: Identity,
    others: Sequence["Results"],
    ladder: Ladder | None,
) -> tuple[Row, tuple[str, ...], Mapping[str, PlannedTier]]:
    """Return what one stage would do, what changed since its stale runs, and its tiers."""
    name = prepared.name
    runs = results.look(name) if prepared.stage.keep else None
    total = len(prepared.space)
    counts = np.zeros(len(Status), np.int64)
    changed: tuple[str, ...] = ()
    reuse = Reuse(prepared, identity, results, others, whole.before(prepared.name))
    held = reuse.held(prepared.space, runs)
    lacking = ~held
    per_run = bytes_each = np.nan
    if runs is not None:
        found = runs.catalogue.find(prepared.space, defaults=prepared.defaults)
        if isinstance(found, range):
            is_known: NDArray[np.bool_] | slice = slice(None)
            known: Ids | slice = slice(found.start, found.stop)
        else:
            is_known = found >= 0
            known = found[is_known]
        status = runs.status_under(identity, known)
        changed = runs.changes(identity, known)
        held[is_known] &= (status == Status.PENDING) | (status == Status.SKIPPED)
        counts = count_statuses(status)
        lacking[is_known] &= (status == Status.PENDING) | (status == Status.SKIPPED)
        if runs.schema is not None:
            bytes_each = float(sum(_nbytes(each) for each in runs.schema.variables))
        ended = (status == Status.DONE) | (status == Status.STALE)
        if ended.any():
            per_run = float(np.mean(runs.state.seconds[known], where=ended))
    stored = int(counts[Status.DONE] + counts[Status.STALE])
    failed = int(counts[Status.FAILED])
    reused = int(np.count_nonzero(held))
    missing = total - stored - failed - reused
    tiers = planned_tiers(prepared, runs, lacking, ladder) if ladder is not None else {}
    row = Row(
        runs=total,
        stored=stored,
        missing=missing,
        failed=failed,
        stale=int(counts[Status.STALE]),
        reused=reused,
        batches=_batches(missing, per_run),
        bytes=missing * bytes_each if prepared.stage.keep else 0.0,
        seconds=missing * per_run,
        tier=_said_of(tiers) or ("gpu" if _gpus(prepared) else "any"),
    )
    return row, changed, tiers


def _said_of(tiers: Mapping[str, PlannedTier]) -> str:
    if len(tiers) == 1:
        return next(iter(tiers))
    return ", ".join(f"{name} {planned.runs}" for name, planned in tiers.items())


def _sum(values: list[float]) -> float:
    """Return the sum of what is known, NaN where nothing is."""
    known = [value for value in values if not np.isnan(value)]
    return sum(known) if known else np.nan


def _nbytes(variable: Variable) -> int:
    """Bytes of one run, a guess where lengths differ from run to run."""
    if variable.kind != "fixed":
        return 64
    return int(np.dtype(variable.dtype).itemsize * np.prod(variable.shape, dtype=int))


def _gpus(prepared: PreparedStage) -> int:
    resources = prepared.stage.fixed_resources
    return 0 if resources is None else resources.gpus


def _batches(missing: int, per_run: float) -> float:
    if missing == 0:
        return 0.0
    if np.isnan(per_run):
        return np.nan
    target = batch_seconds(workers=1, threads=1, seconds_left=missing * per_run)
    return float(np.ceil(missing * per_run / target))


def _sentence(row: Row, changed: str) -> str:
    parts = [f"{int(row.runs):,} runs", f"{int(row.stored):,} stored"]
    if row.stale:
        why = f" ({changed} changed)" if changed else ""
        parts.append(f"{int(row.stale):,} of them stale{why}")
    if row.reused:
        parts.append(f"{int(row.reused):,} to be reused from other stores")
    parts.append(f"{int(row.missing):,} missing")
    if row.failed:
        parts.append(f"{int(row.failed):,} failed")
    if row.missing and not np.isnan(row.seconds):
        parts.append(f"about {row.seconds:,.1f} s of computing to do")
    elif row.missing:
        parts.append("computing time unknown before the first runs")
    return ", ".join(parts)
