"""Snapshots as a live sweep gives them, made by hand."""

from toolkit.views.snapshot import (
    Cost,
    Counts,
    FailureGroup,
    SlowRun,
    Snapshot,
    Span,
    StageState,
    TierState,
    WorkerState,
)


def in_the_middle() -> Snapshot:
    """A sweep of two stages on two tiers, of which some runs failed."""
    return Snapshot(
        at=1_790_000_000.0,
        state="running",
        stages=(
            StageState(
                name="features",
                counts=Counts(done=1_480, failed=20, pending=0),
                rate=None,
                seconds=0.8,
            ),
            StageState(
                name="fit",
                counts=Counts(done=61_204, failed=1_312, blocked=990, pending=84_994, running=24),
                rate=41.5,
                seconds=2.4,
            ),
        ),
        tiers=(
            TierState(
                name="small",
                stage="fit",
                pending=80_000,
                running=20,
                workers=5,
                at_once=20,
                spent=Cost(core_hours=31.2),
                left=Cost(core_hours=44.0),
            ),
            TierState(
                name="gpu",
                stage="fit",
                pending=4_994,
                running=4,
                workers=2,
                at_once=4,
                spent=Cost(core_hours=12.0, gpu_hours=3.0),
                left=Cost(core_hours=20.5, gpu_hours=5.1),
                waits="2 jobs wait: (Priority)",
            ),
        ),
        workers=(
            WorkerState(
                name="small-0",
                host="node17",
                tier="small",
                threads=4,
                running=4,
                memory=3_200_000_000,
                memory_limit=8_000_000_000,
            ),
            WorkerState(name="gpu-0", host="node40", tier="gpu", threads=2, gpus=1, running=2),
        ),
        failures=(
            FailureGroup(
                stage="fit",
                exception="ValueError",
                where="model.py:17 in fit",
                count=1_300,
                runs=(3, 17, 40),
                message="beta <must> not exceed gamma & more",
                traceback='Traceback (most recent call last):\n  File "model.py", line 17, in fit\n'
                '    raise ValueError("beta <must> not exceed gamma & more")\n'
                "ValueError: beta <must> not exceed gamma & more\n",
                host="node17",
                tier="small",
                labels={"beta": 0.3, "model": "svm"},
                reproduce="sweep.reproduce(stage='fit', run=3)",
            ),
            FailureGroup(
                stage="fit",
                exception="WorkerDied",
                where="",
                count=12,
                runs=(99,),
                message="the worker process was ended by signal 9 (attempt 3)",
                reason="memory",
                labels={"beta": 0.4, "model": "forest"},
                reproduce="sweep.reproduce(stage='fit', run=99)",
            ),
        ),
        n_failure_kinds=2,
        slowest=(
            SlowRun(stage="fit", run=801, seconds=1_804.0, labels={"beta": 0.5}, is_running=True),
            SlowRun(stage="fit", run=77, seconds=912.5, labels={"beta": 0.45}, tier="small"),
        ),
        elapsed=1_475.0,
        left=Span(low=1_500.0, high=2_900.0),
        spent=Cost(core_hours=43.2, gpu_hours=3.0),
        to_spend=Cost(core_hours=64.5, gpu_hours=5.1),
        store="/data/parcels.zarr",
        dashboard_link="http://127.0.0.1:8787/status",
        is_live=True,
    )


def at_the_end() -> Snapshot:
    """A store of one stage, all done, nobody runs it."""
    return Snapshot(
        at=1_790_000_000.0,
        state="done",
        stages=(StageState(name="peak", counts=Counts(done=4_000), seconds=0.01),),
        spent=Cost(core_hours=0.011),
        store="/data/sir.zarr",
    )
