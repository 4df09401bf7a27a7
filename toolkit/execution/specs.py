"""The spec of a stage's batches, as its catalogue and layout are at present."""

import os
import uuid
from dataclasses import replace

from toolkit.execution.batch_task import BatchSpec
from toolkit.execution.chances import CHECKPOINTS
from toolkit.execution.work import Policy, Work
from toolkit.resources import Resources
from toolkit.spaces.seeds import Streams
from toolkit.stages.cell_source import sources_of
from toolkit.stages.current import RunContext
from toolkit.stages.needs import Needs
from toolkit.stages.stage import Stage

_MOST_LOGS = 32 << 20  # characters of what runs say, of all workers together
_LEAST_LOGS = 1 << 16


def make_spec(
    work: Work, policy: Policy, *, session: str, workers: int, walltime: Needs | None
) -> BatchSpec:
    """Return what all batches of a stage share from now on, under a token of its own.

    Parameters
    ----------
    work, policy
        What is run, and how.
    session
        Name of this start of the sweep.
    workers
        Processes that share the room for what runs say.
    walltime
        Limit of each run, None without one.
    """
    catalogue, sink = work.runs.catalogue, work.runs.sink_spec()
    return BatchSpec(
        token=uuid.uuid4().hex[:8],
        call=work.binding.call,
        catalogue=catalogue,
        streams=Streams(work.seed, work.binding.name, catalogue.dims),
        sink=sink,
        context=replace(
            _context(work.binding.stage, sink.path),
            log_level=policy.log_level,
            session=session,
            log_characters=max(_LEAST_LOGS, _MOST_LOGS // workers),
        ),
        inputs=work.inputs,
        measure_memory=policy.measure_memory,
        walltime=walltime,
        sources=sources_of(work.binding.stage.function),
    )


def _context(stage: Stage, path: str | None) -> RunContext:
    """Return what ``current_run()`` knows; checkpoints lie in the store to outlive an attempt."""
    folder = None if path is None else os.path.join(path, CHECKPOINTS)
    resources = stage.fixed_resources or Resources()
    return RunContext(stage=stage.name, checkpoint_folder=folder, threads=resources.threads)
