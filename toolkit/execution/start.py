"""Everything that one start of a sweep needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from toolkit.execution.sources import Source
from toolkit.execution.work import Policy
from toolkit.stages.preparing import Prepared
from toolkit.stores.results import Results

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from toolkit.execution.job import Job
    from toolkit.spaces.space import Space


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of a sweep: what is asked for, and where and how it is to run."""

    prepared: Prepared
    results: Results
    seed: int
    policy: Policy
    rerun: frozenset[str] = frozenset()
    reuse: tuple[Results, ...] = ()
    client: object = None
    profile: bool = False
    source: Source | None = None
    dataset: "Callable[[], xr.Dataset]"
    failures: "Callable[[], pd.DataFrame]"
    select: "Callable[[Mapping[str, object]], Space]"
    again: "Callable[[], Job] | None" = None
    display: "Callable[[Job], None] | None" = None
    closers: list[Callable[[], None]] = field(default_factory=list)
