"""A sweep as notebooks show it."""

import inspect
import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from toolkit.errors import ToolkitError
from toolkit.markup import folded, rows, view
from toolkit.stages.failure import is_cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from toolkit.execution.plan import Plan
    from toolkit.inputs.frozen import Frozen
    from toolkit.spaces.space import Space
    from toolkit.stages.stage import Stage

_LOOKED_UP = 250_000
"""Runs up to which a view looks into the store: more would make it slow to show."""


class SweepLike(Protocol):
    """What is shown of a ``tk.Sweep``."""

    stages: "tuple[Stage, ...]"
    space: "Space"
    seed: int

    @property
    def frozen(self) -> "Mapping[str, Frozen]":
        """The frozen inputs by name."""

    @property
    def store(self) -> Path | None:
        """Folder of the store."""

    def explain(self) -> "Plan":
        """Return what is stored and what is missing."""


def sweep_html(sweep: SweepLike) -> str:
    """Return what a sweep runs, over what, where the results are and how many there are."""
    count = len(sweep.space)
    sizes = ", ".join(f"{name}: {size:,}" for name, size in sweep.space.sizes.items())
    names = ", ".join(stage.name for stage in sweep.stages)
    plural = "" if count == 1 else "s"
    lines = [(stage.name, _function(stage)) for stage in sweep.stages]
    lines += [(f"frozen {name}", escape(repr(each))) for name, each in sweep.frozen.items()]
    lines.append(("store", "in memory" if sweep.store is None else escape(str(sweep.store))))
    if count <= _LOOKED_UP:
        lines.append(("stored", escape(_stored(sweep))))
    lines.append(("seed", str(sweep.seed)))
    return view(
        "Sweep",
        f"{names} over {count:,} run{plural}" + (f" ({sizes})" if sizes else ""),
        rows(lines),
        folded("space", sweep.space._repr_html_()),
    )


def _function(stage: "Stage") -> str:
    """Return the call, as it is defined, and the place of the definition."""
    try:
        signature = str(inspect.signature(stage.function))
    except (TypeError, ValueError):
        signature = "(…)"
    name = getattr(stage.function, "__name__", type(stage.function).__name__)
    code = getattr(inspect.unwrap(stage.function), "__code__", None)
    place = ""
    if code is not None and is_cell(code.co_filename):
        place = "a notebook cell"
    elif code is not None and not code.co_filename.startswith("<"):
        place = f"{os.path.basename(code.co_filename)}, line {code.co_firstlineno}"
    return f"{escape(name + signature)} <span class='tk-dim'>{escape(place)}</span>"


def _stored(sweep: SweepLike) -> str:
    try:
        total = sweep.explain().total
    except ToolkitError as error:
        return f"cannot be said: {error}"
    text = f"{int(total.stored):,} of {int(total.runs):,} runs"
    for name in ("stale", "failed"):
        if total[name]:
            text += f", {int(total[name]):,} {name}"
    return text
