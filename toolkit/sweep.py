"""``tk.Sweep``: what is asked for, and the verbs that plan it, run it and read it."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from toolkit.execution.arguments import (
    check_durability,
    check_frozen,
    check_policy,
    check_rerun,
    check_seed,
    check_space,
    check_store,
)
from toolkit.execution.reuse import check_reuse
from toolkit.resources import Resources
from toolkit.spaces.space import Space
from toolkit.stages.preparing import identities, prepare, replaced, require_current
from toolkit.stages.stage import Stage, as_stages
from toolkit.stores.results import Results

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from toolkit.execution.job import Job
    from toolkit.execution.plan import Plan
    from toolkit.execution.sources import Source
    from toolkit.execution.start import Start
    from toolkit.execution.work import Policy
    from toolkit.inputs.frozen import Frozen

Stages = Callable[..., Any] | Stage | Iterable[Callable[..., Any] | Stage]
Axes = Space | Mapping[str, object]
Reusable: TypeAlias = "str | Path | Sweep | Results"


class Sweep:
    """A function, the space that it is run over, and the store that keeps the results.

    Immutable: ``sel``, ``isel``, ``where``, ``extend`` and ``replace`` return another sweep on
    the same store. What is stored is never run again unless ``rerun=`` says so, so editing a
    script and running it again extends its store.

    Parameters
    ----------
    stages
        A function, or a stage made with ``tk.stage``; or several. An argument that bears the
        name of another stage, or of one of its outputs, takes what that stage returned; each
        stage runs over the dims of its own arguments only.
    space
        A space, or a mapping that is taken as ``tk.grid(mapping)``.
    frozen
        By name of the argument: objects that every run reads and none may change, such as data to
        fit. They reach each machine once, and arrays among them are read-only. What ``tk.freeze``
        returns can be given to several sweeps.
    store
        Folder of the zarr store (``"sir.zarr"``); None keeps the results in memory.
    seed
        Of all random streams; with the stage and the labels it decides what ``rng`` and
        ``run_seed`` are.
    reuse
        Other stores, by path or by sweep. Runs that one of them holds with the same code, labels
        and streams are copied from there instead of being run. They are read only.
    durability
        ``"process"``: a result survives the death of any process; ``"power"``: also a power cut,
        at the price of an fsync for each record.

    Raises
    ------
    ToolkitError
        If the description is wrong: an argument without a source, a parameter that nothing uses,
        stages that need each other, an empty space. Nothing runs before all of it has been checked.

    Examples
    --------
    >>> import toolkit as tk
    >>> def area(width, height):
    ...     return width * height
    >>> data = tk.Sweep(area, tk.grid(width=[1, 2, 3], height=[10, 20])).run(progress=False)
    >>> int(data.area.sel(width=2, height=20))
    40
    """

    def __init__(
        self,
        stages: Stages,
        space: Axes,
        *,
        frozen: Mapping[str, object] | None = None,
        store: str | Path | None = None,
        seed: int = 0,
        reuse: "Reusable | Iterable[Reusable]" = (),
        durability: Literal["process", "power"] = "process",
        _results: Results | None = None,
    ) -> None:
        self.stages = as_stages(stages)
        self.space = check_space(space)
        self.seed = check_seed(seed)
        self.durability = check_durability(durability)
        self._results = _results or Results(check_store(store), durability=self.durability)
        self._others = check_reuse(reuse)
        self._prepared = prepare(
            self.stages,
            self.space,
            frozen=check_frozen(frozen),
            stored=self._results.output_names,
        )

    @property
    def frozen(self) -> "Mapping[str, Frozen]":
        """The frozen inputs, by name of the argument."""
        return dict(self._prepared.frozen)

    @property
    def store(self) -> Path | None:
        """Folder of the store, None for results in memory."""
        return self._results.path

    @property
    def reuse(self) -> tuple[Results, ...]:
        """The other stores, which runs are copied from instead of being run."""
        return self._others

    # ---- other sweeps on the same store

    def sel(self, labels: Mapping[str, object] | None = None, /, **more: object) -> "Sweep":
        """Return the sweep over the part of the space with these labels, lists or slices."""
        return self._with(space=self._prepared.space.sel({**(labels or {}), **more}))

    def isel(self, positions: Mapping[str, object] | None = None, /, **more: object) -> "Sweep":
        """Return the sweep over the part of the space at these positions."""
        return self._with(space=self._prepared.space.isel({**(positions or {}), **more}))

    def where(self, condition: Callable[..., object]) -> "Sweep":
        """Return the sweep over the points where the condition, called with arrays, is true."""
        return self._with(space=self._prepared.space.where(condition))

    def extend(self, axes: Mapping[str, object] | None = None, /, **more: object) -> "Sweep":
        """Return the sweep over a larger space; only what is new will be run."""
        return self._with(space=self._prepared.space.extend({**(axes or {}), **more}))

    def replace(self, *, stages: Stages) -> "Sweep":
        """Return the sweep with mended functions, by the names of their stages; the rest stays.

        Runs that the old code made are kept, and stale in the new sweep.
        """
        return self._with(stages=replaced(self.stages, as_stages(stages)))

    # ---- plan, run, read

    def explain(self, client: object = None) -> "Plan":
        """Return what is stored, missing and failed, and what running would do. Runs nothing.

        Parameters
        ----------
        client
            Where it would run, as for :meth:`run`: with the name or file of a profile, or a
            cluster, the plan says how many runs would start on which tier, and their core-hours.

        Raises
        ------
        ClusterError
            If no tier of the cluster can serve a run.
        """
        from toolkit.execution.plan import explain
        from toolkit.execution.planned import ladder_of

        ladder = ladder_of(client)
        return explain(self._prepared, self._results, self.seed, self._others, ladder)

    def lazy(self, errors: Literal["raise", "missing"] = "raise") -> "xr.Dataset":
        """Return the outputs as dask arrays: what is stored is read, the rest made on demand.

        Nothing runs before a value is asked for, and nothing is written. A point selected by its
        labels is one run; a slice runs the blocks that it touches. Works with any Dask scheduler.

        Parameters
        ----------
        errors
            ``"raise"``: computing a run that fails, or is stored as failed, raises, naming its
            labels. ``"missing"``: such runs are NaN, NaT or ``""``.

        Returns
        -------
        xarray.Dataset
            As :meth:`dataset`, but for the state of the runs. Text is numpy's ``StringDType``;
            outputs that are objects or ragged are left out: ``attrs`` names them.

        Raises
        ------
        StageError
            If neither ``outputs=`` nor the store says what a stage returns, and the one run that
            is run to see it fails.
        """
        from toolkit.graphs.dataset import lazy_dataset

        return lazy_dataset(self._prepared, self._results, self.seed, errors=errors)

    def run(
        self,
        client: object = None,
        *,
        rerun: str | Iterable[str] = (),
        order: str = "random",
        max_failures: int | None = None,
        time_limit: float | str | None = None,
        progress: bool = True,
        profile: bool = False,
        log_level: int | str = "WARNING",
    ) -> "xr.Dataset":
        """Run what the store lacks and return the dataset of this space.

        Parameters
        ----------
        client
            A Dask client, a ``tk.cluster``, the name or path of a cluster profile. None uses the
            client that is there; without one, a sweep of under two seconds runs in this process
            and a longer one on a local cluster that is closed afterwards.
        rerun
            Run these again though they have an outcome: ``"failed"``, ``"stale"``, ``"damaged"``
            (their stored values cannot be read; see ``tk.check``), ``"all"``, or several.
        order
            ``"random"``, ``"coarse"`` (a coarse grid first, then finer ones) or ``"given"``.
        max_failures
            Stop when more runs than this fail.
        time_limit
            Hand out nothing more after this many seconds (or ``"2h"``); what runs is finished.
        progress
            Show progress.
        profile
            Keep the Dask workers' own sampling profiler running (costs 5-8 %).
        log_level
            From which level on :meth:`log_of` keeps what runs tell the ``logging`` module.

        Returns
        -------
        xarray.Dataset
            Outputs over the dims of the space, with ``status``, ``attempts``, ``seconds`` (s) and
            ``peak_memory`` (bytes) as coordinates. Failed and pending runs are missing.

        Raises
        ------
        RunsFailedError
            If the whole first wave failed and no run ever succeeded, or ``max_failures`` is
            passed. What is done is stored.
        InterruptedSweepError
            If Ctrl-C stopped it. What is done is stored.
        StoreError
            If the store is in use by another process, cannot be mapped to this sweep, or cannot
            be written.
        """
        from toolkit.execution.session import run_here
        from toolkit.views.progress import shown

        job = self._job(client, rerun, order, max_failures, time_limit, profile, log_level)
        with shown(job, enabled=progress):
            run_here(job, how_to_resume=self._how_to_resume())
        return self.dataset()

    def start(
        self,
        client: object = None,
        *,
        rerun: str | Iterable[str] = (),
        order: str = "random",
        max_failures: int | None = None,
        time_limit: float | str | None = None,
        profile: bool = False,
        progress: bool = False,
        log_level: int | str = "WARNING",
    ) -> "Job":
        """Start in the background; takes what :meth:`run` takes and returns a ``Job``."""
        del progress
        job = self._job(client, rerun, order, max_failures, time_limit, profile, log_level)
        return job.begin()

    def retry(
        self,
        client: object = None,
        resources: Resources | None = None,
        *,
        damaged: bool = False,
        progress: bool = True,
    ) -> "xr.Dataset":
        """Run the failed runs again, with other resources where they are given.

        With ``damaged`` those whose stored values are damaged instead; all others stay.

        Raises
        ------
        SweepError
            If the function was defined anew since this sweep was made: use ``replace``.
        """
        for stage in self.stages:
            require_current(stage)
        sweep = self
        if resources is not None:
            sweep = self.replace(
                stages=[dataclasses.replace(stage, resources=resources) for stage in self.stages]
            )
        return sweep.run(client, rerun="damaged" if damaged else "failed", progress=progress)

    def refine(
        self,
        output: str,
        *,
        dims: str | Iterable[str],
        points: int,
        client: object = None,
        loss: Literal["default", "curvature"] = "default",
        max_failures: int | None = None,
        time_limit: float | str | None = None,
        progress: bool = True,
        log_level: int | str = "WARNING",
    ) -> "xr.Dataset":
        """Add runs between the labels of the space, where an output changes most.

        It begins with what is stored over these dims, and runs no point again. As soon as a run
        ends, the next is chosen by all outcomes so far.

        Parameters
        ----------
        output
            Name of an output that is one number for each run.
        dims
            The numeric parameters to refine over, between the least and the greatest label of
            each. What was drawn by ``tk.log``, or has labels at equal ratios, is refined in the
            logarithm; whole numbers stay whole. Of every other dim one label is to be selected.
        points
            How many points to add: one run each, or one for each replicate, of which the mean
            counts.
        client, max_failures, time_limit, progress, log_level
            As for :meth:`run`.
        loss
            ``"default"``: points where the output changes most; ``"curvature"``: where it bends
            most.

        Returns
        -------
        xarray.Dataset
            The new runs along ``run``, their labels as coordinates. :meth:`dataset` stays as it
            is, and ``tk.open(store, flat=True)`` reads all runs.

        Raises
        ------
        SweepError
            If there is nothing to refine: no such output or dim, an output with dims of its own,
            a dim without numbers, other dims that vary, several stages. Nothing has run then.
        RunsFailedError, InterruptedSweepError, StoreError
            As for :meth:`run`.
        """
        from toolkit.execution.session import run_here
        from toolkit.optimizers.refining import make_refinement, refined_dataset
        from toolkit.views.progress import shown

        source = make_refinement(
            self._prepared, self._results, output, dims=dims, points=points, loss=loss
        )
        job = self._job(
            client, (), "given", max_failures, time_limit, False, log_level, source=source
        )
        with shown(job, enabled=progress):
            run_here(job, how_to_resume="Call refine() again to add more points.")
        (identity,) = identities(self._prepared, self.seed).values()
        return refined_dataset(self._prepared, self._results, identity, source)

    def forget(self) -> int:
        """Drop the stored runs of this space: they are pending, and their values missing.

        ``sweep.sel(beta=0.3).forget()`` drops a part. A run of an earlier stage stays where runs
        outside of this space were made of it; a run outside of it that took a dim whole, and with
        it what is dropped, is stale from now on. All other runs stay as they are.

        Returns
        -------
        int
            How many runs were dropped.

        Raises
        ------
        StoreError
            If the store is in use, or cannot be mapped to this sweep.
        """
        from toolkit.execution.forgetting import forget

        return forget(self._prepared, self._results, identities(self._prepared, self.seed))

    def dataset(self, *, mask: bool = True) -> "xr.Dataset":
        """Return what is stored of this space; the rest is missing.

        Parameters
        ----------
        mask
            Whether only runs that are done or stale show values. ``mask=False`` gives what is
            stored, whole numbers as such, also where some are missing.
        """
        kept = [each for each in self._prepared.stages if each.stage.keep]
        return self._results.dataset(
            [(each.name, each.space, each.defaults) for each in kept],
            identities(self._prepared, self.seed),
            mask=mask,
        )

    def failures(self) -> "pd.DataFrame":
        """Return the failed runs of this space, one row each.

        Returns
        -------
        pandas.DataFrame
            The labels, then ``stage run reason exception message traceback exit_code log attempts
            tier peak_memory host``. A notebook shows it by kind, with tracebacks folded away.
        """
        from toolkit.views.failures import shown_by_kind

        found = self._results.failures(
            [(each.name, each.space, each.defaults) for each in self._prepared.stages]
        )
        return shown_by_kind(found)

    def log_of(
        self,
        labels: Mapping[str, object] | None = None,
        /,
        *,
        run: int | None = None,
        stage: str | None = None,
        **more: object,
    ) -> str:
        """Return what one run printed, warned of and logged.

        Parameters
        ----------
        labels, **more
            A label for each dim of the space, as :meth:`sel` takes them.
        run
            The run id, as ``failures()`` shows it, instead of labels.
        stage
            Name of the stage; None for the last one.

        Returns
        -------
        str
            The first and the last 2,000 characters of what the run's last attempt said; ``""``
            where that was nothing, or it has not run.

        Raises
        ------
        SweepError
            If the labels do not name one run.
        """
        from toolkit.stores.reading.log_of import log_of_point

        target = self._prepared.stages[-1] if stage is None else self._prepared.named(stage)
        runs = self._results.look(target.name)
        found = {**(labels or {}), **more}
        return log_of_point(runs, target.space, target.defaults, run=run, labels=found)

    def reproduce(self, run: int | None = None, stage: str | None = None, **labels: object) -> Any:
        """Run one point here, in this process, with the same streams; return what it returns.

        Parameters
        ----------
        run
            The run id, as ``failures()`` shows it; or give labels.
        stage
            Name of the stage, where there are several.
        **labels
            A label for each dim of the space. The point need not have been run.

        Raises
        ------
        SweepError
            If the labels do not name one point.
        Exception
            Whatever the function raises, here and now, where a debugger can stop.
        """
        from toolkit.execution.reproducing import reproduce

        return reproduce(
            self._prepared, self._results, self.seed, stage=stage, run=run, labels=labels
        )

    def __repr__(self) -> str:
        names = ", ".join(stage.name for stage in self.stages)
        sizes = ", ".join(f"{name}: {size}" for name, size in self.space.sizes.items())
        where = "in memory" if self.store is None else str(self.store)
        frozen = f"frozen: {', '.join(self.frozen)}, " if self.frozen else ""
        return f"<Sweep {names} over {len(self.space):,} runs ({sizes}), {frozen}store: {where}>"

    def _repr_html_(self) -> str:
        from toolkit.views.html import sweep_html

        return sweep_html(self)

    # ---- inside

    def _with(
        self, *, stages: tuple[Stage, ...] | None = None, space: Space | None = None
    ) -> "Sweep":
        return Sweep(
            stages or self.stages,
            space if space is not None else self.space,
            frozen=self._prepared.frozen,
            seed=self.seed,
            reuse=self._others,
            durability=self.durability,
            _results=self._results,
        )

    def _job(
        self,
        client: object,
        rerun: str | Iterable[str],
        order: str,
        max_failures: int | None,
        time_limit: float | str | None,
        profile: bool,
        log_level: int | str,
        *,
        source: "Source | None" = None,
    ) -> "Job":
        policy = check_policy(order, max_failures, time_limit, log_level)
        return self._job_of(self._start(client, rerun, policy, profile, source=source))

    def _job_of(self, start: "Start") -> "Job":
        from toolkit.execution.session import make_job
        from toolkit.views.dashboard.companion import show_on_dashboard

        job = make_job(start)
        names = [stage.name for stage in self.stages]
        show_on_dashboard(job, self.store.name if self.store else ", ".join(names))
        return job

    def _start(
        self,
        client: object,
        rerun: str | Iterable[str],
        policy: "Policy",
        profile: bool = False,
        *,
        source: "Source | None" = None,
    ) -> "Start":
        from toolkit.execution.start import Start
        from toolkit.views.widget.showing import show_job

        def again() -> "Job":
            for stage in self.stages:
                require_current(stage)
            return self._job_of(self._start(client, "failed", policy, profile)).begin()

        return Start(
            prepared=self._prepared,
            results=self._results,
            seed=self.seed,
            policy=policy,
            rerun=check_rerun(rerun),
            reuse=self._others,
            client=client,
            profile=profile,
            source=source,
            dataset=self.dataset,
            failures=self.failures,
            select=self._prepared.space.sel,
            again=again,
            display=show_job,
        )

    def _how_to_resume(self) -> str:
        if self.store is None:
            return "Call run() on this sweep again to go on; the results are in memory only."
        return f"Run the script again to go on: {self.store} keeps what is done."
