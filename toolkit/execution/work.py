"""What an engine is given: one stage's runs, and how far to go with them."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from toolkit.execution.order import Order
from toolkit.execution.run_queue import Ids
from toolkit.execution.sources import Source
from toolkit.spaces.space import Space
from toolkit.stages.binding import Binding
from toolkit.stores.runs.stage_runs import StageRuns
from toolkit.stores.upstream import Input


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What changes the cost or the end of a sweep, and never a value."""

    order: Order = "random"
    max_failures: int | None = None
    time_limit: float | None = None
    measure_memory: bool = True
    log_level: int = logging.WARNING
    in_process_seconds: float | None = None  # of work, above which we start a cluster; None: 2 s


def _same(space: Space) -> Space:
    return space


@dataclass(frozen=True, kw_only=True)
class Work:
    """One stage's runs: what to call, where outcomes go, where points come from."""

    binding: Binding
    runs: StageRuns
    source: Source
    seed: int
    defaults: Mapping[str, object]
    choose: Callable[[Space, Ids], tuple[Ids, Ids]]  # of its runs: those asked for, those to run
    inputs: tuple[Input, ...] = ()  # what it takes from the stages before it
    within: Callable[[Space], Space] = _same  # the part of a space that the stage runs over
