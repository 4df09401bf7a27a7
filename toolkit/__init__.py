"""Run one function a thousand or ten million times: labelled sweeps on Dask, stored in zarr.

The names are loaded when they are first used, so that ``import toolkit`` is light.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.clusters.cluster import cluster
    from toolkit.errors import (
        ClusterError,
        CommandError,
        FrozenError,
        FrozenMutatedError,
        InterruptedSweepError,
        RunsFailedError,
        SpaceError,
        StageError,
        StoreError,
        SweepError,
        ToolkitError,
    )
    from toolkit.fitting import minimize
    from toolkit.inputs.frozen import Frozen, freeze
    from toolkit.likelihood import likelihood_profile
    from toolkit.optimizers.sensitivities import sensitivity
    from toolkit.resources import Resources
    from toolkit.run_status import Status
    from toolkit.sampling import abc_smc, mcmc, nested_sampling
    from toolkit.scaling_study import scaling
    from toolkit.spaces.distribution import choice, integers, log, logit, normal
    from toolkit.spaces.grid import grid, replicates, zipped
    from toolkit.spaces.sample import sample
    from toolkit.spaces.space import Space
    from toolkit.spaces.table import space
    from toolkit.stages.command import command
    from toolkit.stages.current import current_run
    from toolkit.stages.draws_by_counter import draws
    from toolkit.stages.output import Output, ragged
    from toolkit.stages.stage import Stage, stage
    from toolkit.stages.torch_batch import device
    from toolkit.stores.reading.log_of import log_of
    from toolkit.stores.reading.open import open, status
    from toolkit.stores.reading.unpickling import load_objects
    from toolkit.stores.upkeep.check import check
    from toolkit.stores.upkeep.compaction import compact
    from toolkit.stores.upkeep.merging import merge
    from toolkit.sweep import Sweep
    from toolkit.views.failures import failures
    from toolkit.views.plots import plot

__version__ = "0.1.0"

_HOMES = {
    "ClusterError": "errors",
    "CommandError": "errors",
    "Frozen": "inputs.frozen",
    "FrozenError": "errors",
    "FrozenMutatedError": "errors",
    "InterruptedSweepError": "errors",
    "Output": "stages.output",
    "Resources": "resources",
    "RunsFailedError": "errors",
    "Space": "spaces.space",
    "SpaceError": "errors",
    "Stage": "stages.stage",
    "StageError": "errors",
    "Status": "run_status",
    "StoreError": "errors",
    "Sweep": "sweep",
    "SweepError": "errors",
    "ToolkitError": "errors",
    "abc_smc": "sampling",
    "check": "stores.upkeep.check",
    "choice": "spaces.distribution",
    "cluster": "clusters.cluster",
    "compact": "stores.upkeep.compaction",
    "command": "stages.command",
    "current_run": "stages.current",
    "device": "stages.torch_batch",
    "draws": "stages.draws_by_counter",
    "failures": "views.failures",
    "freeze": "inputs.frozen",
    "grid": "spaces.grid",
    "integers": "spaces.distribution",
    "likelihood_profile": "likelihood",
    "load_objects": "stores.reading.unpickling",
    "log": "spaces.distribution",
    "log_of": "stores.reading.log_of",
    "logit": "spaces.distribution",
    "mcmc": "sampling",
    "merge": "stores.upkeep.merging",
    "minimize": "fitting",
    "nested_sampling": "sampling",
    "normal": "spaces.distribution",
    "open": "stores.reading.open",
    "plot": "views.plots",
    "ragged": "stages.output",
    "replicates": "spaces.grid",
    "sample": "spaces.sample",
    "scaling": "scaling_study",
    "sensitivity": "optimizers.sensitivities",
    "space": "spaces.table",
    "stage": "stages.stage",
    "status": "stores.reading.open",
    "zipped": "spaces.grid",
}

__all__ = [
    "ClusterError",
    "CommandError",
    "Frozen",
    "FrozenError",
    "FrozenMutatedError",
    "InterruptedSweepError",
    "Output",
    "Resources",
    "RunsFailedError",
    "Space",
    "SpaceError",
    "Stage",
    "StageError",
    "Status",
    "StoreError",
    "Sweep",
    "SweepError",
    "ToolkitError",
    "abc_smc",
    "check",
    "choice",
    "cluster",
    "command",
    "compact",
    "current_run",
    "device",
    "draws",
    "failures",
    "freeze",
    "grid",
    "integers",
    "likelihood_profile",
    "load_objects",
    "log",
    "log_of",
    "logit",
    "mcmc",
    "merge",
    "minimize",
    "nested_sampling",
    "normal",
    "open",
    "plot",
    "ragged",
    "replicates",
    "sample",
    "scaling",
    "sensitivity",
    "space",
    "stage",
    "status",
    "zipped",
]


def __getattr__(name: str) -> object:
    """Load a public name from its room."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"toolkit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
