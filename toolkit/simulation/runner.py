"""Runs simulation models: one run, or many with other parameters and seeds in one call."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.given import parameters_of, seeds_of
from toolkit.simulation.labeling import labelled, labels_of
from toolkit.simulation.model import (
    HasActiveSet,
    SimulationModel,
)
from toolkit.simulation.playing import Player, named, varied
from toolkit.simulation.policies import policies_of
from toolkit.simulation.recording import Record, Recorded, Recorder, records_of
from toolkit.simulation.run_stats import RunStats
from toolkit.simulation.streaming import RunStore
from toolkit.stages.torch_batch import device as worker_device

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from toolkit.resources import Resources
    from toolkit.stages.stage import Stage


class Runner:
    """Runs a simulation model.

    Parameters
    ----------
    model
        What to run; it is moved to the device.
    device
        Such as ``"cpu"`` or ``"cuda:1"``; ``"auto"``: that of this worker, see ``tk.device()``.
    mode
        ``"active"``: step those with whom something may happen; ``"dense"``: all agents;
        ``"auto"``: active on the CPU, where the model can. Results are the same bits.
    contacts
        ``"push"``, ``"pull"`` or ``"auto"``, for models on networks.
    validate
        Look at the first steps: that shapes and types of the state stay as they are, and that
        numbers are finite.
    capture
        ``"on"``: capture a step as a CUDA graph and replay it, for it is the launches of its many
        kernels that take the time; ``"auto"``: on a GPU, where the model can; ``"off"``: never.

    Raises
    ------
    SimulationError
        If a word is not one of these, or the model cannot be stepped so.

    Examples
    --------
    >>> from toolkit.simulation import SEIR, ContactNetwork
    >>> network = ContactNetwork.from_edges([0, 1, 2], [1, 2, 3], n_agents=4)
    >>> model = SEIR(
    ...     network, beta=1.0, incubation_steps=1, infectious_steps=2, initial_infected=[0]
    ... )
    >>> Runner(model, device="cpu").run(4)["new_infections"].values
    array([1, 1, 1, 0])
    """

    def __init__(
        self,
        model: SimulationModel,
        device: "str | torch.device" = "auto",
        *,
        mode: str = "auto",
        contacts: str = "auto",
        validate: bool = True,
        capture: str = "auto",
    ) -> None:
        _check_word("mode", mode, ("auto", "active", "dense"))
        _check_word("contacts", contacts, ("auto", "push", "pull"))
        _check_word("capture", capture, ("auto", "on", "off"))
        self.device = worker_device() if device == "auto" else torch.device(device)
        self.model = model.to(self.device)
        is_able = isinstance(model, HasActiveSet) and self.device.type == "cpu"
        for policy in policies_of(model):
            policy.note_shapes()
            is_able = False  # they look at all agents
        if mode == "active" and not is_able:
            raise SimulationError(
                f"{type(model).__name__} on {self.device} has no active set: pass mode='dense'."
            )
        self.way = {"mode": mode, "contacts": contacts}
        if capture == "on" and self.device.type != "cuda":
            raise SimulationError(
                f"capture='on' needs a GPU that has CUDA graphs; this is {self.device}."
            )
        self._player = Player(
            self.model,
            self.device,
            is_active=is_able and mode != "dense",
            contacts=contacts,
            capture=capture,
            validates=validate,
        )

    def stats(self) -> RunStats:
        """Return what the latest call took."""
        return self._player.stats

    def run(
        self,
        steps: int,
        params: Mapping[str, Any] | None = None,
        seed: int = 0,
        *,
        record: "Sequence[str | Record] | str | Record | None" = None,
        store: "str | os.PathLike[str] | None" = None,
    ) -> "xr.Dataset":
        """Return one run.

        Parameters
        ----------
        steps
            How many, at least 1.
        params
            By name, in place of the model's own: one number each.
        seed
            Of all random numbers.
        record, store
            As for :meth:`run_batch`.

        Returns
        -------
        xr.Dataset
            What was recorded, with the dim ``step``.

        Raises
        ------
        SimulationError
            If a name is not a parameter of the model, or a number is out of its range.
        """
        sizes = {name: each.ndim for name, each in self.model.named_parameters()}
        for name, value in (params or {}).items():
            if np.ndim(value) > sizes.get(name, 0):
                raise SimulationError(
                    f"params[{name!r}] has shape {np.shape(value)}: run() takes one number. "
                    "run_batch() takes one for each run."
                )
        if store is not None:
            runs = self.run_batch(steps, params, seeds=[seed], record=record, store=store)
            return runs.isel(run=0).drop_vars("run")
        given, chosen = self.given(steps, params, [seed])
        found = self._run(steps, given, chosen, record)
        begun = time.perf_counter()
        one = labelled(found, named(self.model, given), chosen, steps, is_single=True)
        self.stats().spent("label", begun)
        return one

    def run_batch(
        self,
        steps: int,
        params: Mapping[str, ArrayLike] | None = None,
        seeds: ArrayLike | None = None,
        *,
        record: "Sequence[str | Record] | str | Record | None" = None,
        store: "str | os.PathLike[str] | None" = None,
    ) -> "xr.Dataset":
        """Return many runs, each the same bits as alone.

        Parameters
        ----------
        steps
            How many, at least 1.
        params
            By name: one number for all runs, or shape ``(n_runs,)``.
        seeds
            One for each run; None: 0, 1, 2, …
        record
            Which observables and fields of the state, by name or as a :class:`Record`, which says
            how often and in which type; None: all observables in each step.
        store
            A new folder, into which records are written as zarr arrays while the runs go on: memory
            does not grow with the number of steps. None: records are kept in memory.

        Returns
        -------
        xr.Dataset
            What was recorded, with the dims ``step`` and ``run``, and ``agent`` where it is a field
            of the state; parameters and seeds are coords along ``run``. Of a store values are
            read as they are asked for.

        Raises
        ------
        SimulationError
            If a name is not a parameter of the model, lengths differ, or a number is out of range.
        """
        given, chosen = self.given(steps, params, seeds)
        numbers = named(self.model, given)
        if store is not None:
            return self._streamed(steps, given, chosen, record, os.fspath(store), numbers)
        found = self._run(steps, given, chosen, record)
        begun = time.perf_counter()
        runs = labelled(found, numbers, chosen, steps)
        self.stats().spent("label", begun)
        return runs

    def arrays(
        self,
        steps: int,
        params: Mapping[str, ArrayLike] | None = None,
        seeds: ArrayLike | None = None,
    ) -> dict[str, NDArray[Any]]:
        """Return what :meth:`run_batch` does as arrays ``(steps, n_runs)``, without labels."""
        found = self._run(steps, *self.given(steps, params, seeds), None)
        return {name: each.values for name, each in found.items()}

    def rollout(
        self,
        steps: int,
        params: Mapping[str, Any] | None = None,
        seeds: ArrayLike | None = None,
        *,
        estimator: str = "straight_through",
        temperature: float = 0.5,
        checkpoint_every: int | None = None,
        relative_step: float = 0.05,
    ) -> dict[str, Tensor]:
        """Return what is observed of runs, with gradients by their parameters.

        The runs have the same bits as those of :meth:`run_batch`. Random events have no gradient;
        an estimator says what stands for it. All but two are biased, by tens of percent in
        epidemics that grow: compare them by :meth:`check_gradient`.

        Parameters
        ----------
        steps
            How many, at least 1.
        params
            By name: numbers, or tensors that require a gradient, of no dims or shape ``(n_runs,)``.
            What is not named is the model's own, and has its gradient there.
        seeds
            One for each run; None: 0, 1, 2, …
        estimator
            ``"straight_through"``: the gradient of an event's probability; ``"gumbel_softmax"``:
            that of its relaxation; ``"score_function"``: unbiased, of large variance;
            ``"finite_difference"``: central differences, in one batch with common random numbers.
        temperature
            Of the relaxation, above 0.
        checkpoint_every
            Keep the state of every so many steps only, and step again on the way back: less memory,
            the forward time twice. None: keep all.
        relative_step
            Of a difference, as a share of the parameter.

        Returns
        -------
        dict
            Tensors of shape ``(steps, n_runs)``, float64, by name.

        Raises
        ------
        SimulationError
            If a name is unknown, a number out of its range, or the model has no such steps.
        """
        from toolkit.simulation.rollout import rollout

        return rollout(
            self,
            steps,
            params,
            seeds,
            name=estimator,
            temperature=temperature,
            checkpoint_every=checkpoint_every,
            relative_step=relative_step,
        )

    def check_gradient(
        self,
        steps: int,
        output: str,
        params: Mapping[str, float],
        *,
        seeds: ArrayLike = 64,
        estimators: Sequence[str] = ("straight_through", "gumbel_softmax", "score_function"),
        temperature: float = 0.5,
        relative_step: float = 0.05,
    ) -> "pd.DataFrame":
        """Compare gradients of an output's sum over the steps with finite differences; print it.

        Parameters
        ----------
        steps
            Of each run.
        output
            What is observed, such as ``"new_infections"``.
        params
            By what to differentiate, and where.
        seeds
            How many, or which.
        estimators, temperature, relative_step
            As for :meth:`rollout`.

        Returns
        -------
        pandas.DataFrame
            By parameter and estimator: the mean ``gradient`` of a run, its ``standard_error``, and
            the ``ratio`` to that of finite differences.
        """
        from toolkit.simulation.rollout import compared

        found = compared(
            self,
            steps,
            output,
            params,
            seeds=np.arange(seeds) if isinstance(seeds, int) else seeds,
            estimators=estimators,
            temperature=temperature,
            relative_step=relative_step,
        )
        print(found.to_string(float_format=lambda value: f"{value:.3g}"))  # noqa: T201
        return found

    def given(
        self, steps: int, params: Mapping[str, Any] | None, seeds: ArrayLike | None
    ) -> tuple[dict[str, Tensor], NDArray[np.int64]]:
        """Return parameters and seeds of runs, once they are checked."""
        if not isinstance(steps, int) or steps < 1:
            raise SimulationError(f"steps={steps!r}: give a whole number from 1 on.")
        found = parameters_of(self.model, params or {}, self.device)
        return found, seeds_of(seeds, varied(self.model, found))

    def as_stage(
        self,
        steps: int,
        *,
        name: str | None = None,
        observe: str | Sequence[str] | None = None,
        resources: "Resources | None" = None,
    ) -> "Stage":
        """Return a stage of a sweep, in which a batch of runs is one call of :meth:`run_batch`.

        Its arguments are the parameters of the model, by their names, and ``run_seed``; those that
        the space does not vary keep the model's own values. The model, with its network, is frozen:
        it is brought to each machine once. On a worker with a GPU it runs there.

        Parameters
        ----------
        steps
            Of each run, at least 1.
        name
            Of the stage; None: that of the model's class.
        observe
            What is stored, over the dim ``step``; None: all that the model observes.
        resources
            What a run needs.

        Raises
        ------
        SimulationError
            If the model does not observe what is named, or steps is no whole number from 1 on.
        """
        from toolkit.simulation.staging import as_stage

        return as_stage(self, steps, name=name, observe=observe, resources=resources)

    def _run(
        self, steps: int, given: Mapping[str, Tensor], seeds: NDArray[np.int64], record: Any
    ) -> dict[str, Recorded]:
        """Return what is recorded of runs."""
        wanted = records_of(record)
        parts = [
            kept.end()
            for kept in self._player.play(steps, given, seeds, lambda _: Recorder(steps, wanted))
        ]
        return {
            name: replace(
                each, values=np.concatenate([part[name].values for part in parts], axis=-1)
            )
            for name, each in parts[0].items()
        }

    def _streamed(
        self,
        steps: int,
        given: Mapping[str, Tensor],
        seeds: NDArray[np.int64],
        record: Any,
        path: str,
        numbers: Mapping[str, Tensor],
    ) -> "xr.Dataset":
        """Return what is recorded of runs, read from the store into which it was written."""
        import xarray as xr

        wanted = records_of(record)
        labels = labels_of(numbers, seeds)
        stream = RunStore(path, steps, labels, runs_at_once=self._player.at_once)
        try:
            for _ in self._player.play(steps, given, seeds, lambda part: stream.part(part, wanted)):
                pass
            stream.finish()
        finally:
            stream.stop()
        self.stats().seconds["write"] = stream.seconds
        found: xr.Dataset = xr.open_zarr(path, chunks=None, consolidated=False)
        found.attrs.clear()
        return found


def _check_word(name: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        raise SimulationError(f"{name}={given!r}: it must be one of {', '.join(map(repr, known))}.")
