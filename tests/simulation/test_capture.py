"""Steps that are captured and replayed, and a loop that asks the device for nothing."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.simulation.networks import random_network
from toolkit.errors import SimulationError
from toolkit.simulation import (
    SEIR,
    SEIRD,
    IntegrateAndFire,
    Isolation,
    IsolationPolicy,
    LotkaVolterra,
    MobilitySEIR,
    Runner,
    StayHomePolicy,
    Vaccination,
    playing,
)
from toolkit.simulation.capture import CapturedStepper
from toolkit.simulation.model import DenseStepper
from toolkit.simulation.step_draws import StepDraws


def linear():
    torch.manual_seed(3)
    return nn.Linear(3, 1)


MODELS = {
    "SEIR": lambda: SEIR(random_network(200, 6), beta=0.08, initial_infected=5),
    "all": lambda: SEIRD(
        random_network(200, 6),
        beta=0.2,
        fatality=[0.2, 0.5],
        group=np.arange(200) % 2,
        vaccination=Vaccination(start=8, per_step=0.1, efficacy=0.9, coverage=0.5),
        isolation=Isolation(detection=0.1, start=12),
        initial_infected=10,
    ),
    "policy": lambda: SEIR(
        random_network(200, 6),
        beta=0.2,
        isolation=IsolationPolicy(linear(), start=9),
        initial_infected=10,
    ),
    "mobility": lambda: MobilitySEIR(
        {"household": np.arange(200) // 3, "region": np.arange(200) // 100},
        rates={"household": 0.3, "community": 0.3},
        mobility=[[0.8, 0.2], [0.5, 0.5]],
        is_recurrent=False,
        policy=StayHomePolicy(linear()),
    ),
    "neurons": lambda: IntegrateAndFire(random_network(200, 10), drive=22.0, noise=3.0),
    "predators": lambda: LotkaVolterra(random_network(200, 4), birth=0.1, predation=0.2, death=0.1),
}


def repeated(body):
    """Stand for a graph: a replay calls the function, which sees the same tensors each time."""
    return body


@pytest.mark.parametrize("name", MODELS)
def test_replays_have_the_bits_of_steps(name, monkeypatch):
    """The number of the step is a tensor, the state is one place, and nothing else changes."""
    model = MODELS[name]()
    plain = Runner(model, device="cpu", mode="dense")
    record = list(plain.run(1).data_vars)
    wanted = plain.run_batch(40, seeds=[3, 8, 2**40], record=record)
    steppers = []

    def captured(self, state):
        del self
        steppers.append(CapturedStepper(model, state, repeated, must=True))
        return steppers[-1]

    monkeypatch.setattr(playing.Player, "_stepper", captured)
    again = Runner(model, device="cpu", mode="dense")
    assert again.run_batch(40, seeds=[3, 8, 2**40], record=record).identical(wanted)
    [stepper] = steppers
    assert again.stats().replayed == stepper.replayed >= 28
    assert again.stats().dense == 40


class Reads(SEIR):
    """Asks for a value in its step."""

    def step(self, state, t, rng):
        if int(state.new_infections.sum()) >= 0 and isinstance(t, torch.Tensor):
            raise RuntimeError("operation not permitted when stream is capturing")
        return super().step(state, t, rng)


def test_a_step_that_cannot_be_captured_is_stepped_as_it_is(caplog):
    model = Reads(random_network(200, 6), beta=0.08, initial_infected=5)
    wanted = Runner(model, device="cpu", mode="dense").run(20, seed=4)
    rng = StepDraws(torch.tensor([4]))

    def now(body):
        body()
        return body

    stepper = CapturedStepper(model, model.initial_state(rng), now)
    found = []
    for t in range(20):
        stepper.step(t, rng.at(t))
        found.append(int(stepper.observe(t)["new_infections"]))
    assert found == wanted.new_infections.values.tolist()
    assert stepper.replayed == 0
    assert caplog.text.count("the step of Reads is not captured") == 1
    strict = CapturedStepper(model, model.initial_state(rng), now, must=True)
    for t in range(3):
        strict.step(t, rng.at(t))
    with pytest.raises(SimulationError, match="Reads cannot be captured: operation not permitted"):
        strict.step(3, rng.at(3))


def test_capture_needs_a_gpu():
    with pytest.raises(SimulationError, match="needs a GPU that has CUDA graphs; this is cpu"):
        Runner(MODELS["SEIR"](), device="cpu", capture="on")
    with pytest.raises(SimulationError, match="capture='yes': it must be one of"):
        Runner(MODELS["SEIR"](), device="cpu", capture="yes")


class WaitError(AssertionError):
    """An operation that waits for a GPU."""


class NothingWaits(TorchDispatchMode):
    """Raises at operations that would make the host wait for a GPU: reads, and copies from here."""

    names = (
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "is_nonzero",
        "lift_fresh",
        "_unique2",
        "unique_consecutive",
        "equal",
        "bincount",
        "repeat_interleave.Tensor",
    )

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        del types
        name = str(func).removeprefix("aten.")
        if name.split(".")[0] in self.names or name in self.names:
            raise WaitError(name)
        if name.startswith("index.") and any(
            isinstance(each, torch.Tensor) and each.dtype == torch.bool for each in args[1]
        ):
            raise WaitError(f"{name} by a mask")
        return func(*args, **(kwargs or {}))


class OnDevice(StepDraws):
    """Draws made by torch, as on a GPU, not by numpy."""

    def __init__(self, seeds, step=0):
        super().__init__(seeds, step)
        self._rows = None


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("is_captured", [False, True])
def test_a_dense_step_asks_the_device_for_nothing(name, is_captured):
    model = MODELS[name]()
    rng = OnDevice(torch.tensor([3, 8]))
    state = model.initial_state(rng)
    stepper = DenseStepper(model, state)
    if is_captured:
        stepper = CapturedStepper(model, state, repeated, must=True)
    first = 14  # by then interventions have begun, and policies have been looked at
    for t in range(first):
        stepper.step(t, rng.at(t))
    with torch.no_grad(), NothingWaits():
        for t in range(first, first + 5):
            stepper.step(t, rng.at(t))
            stepper.observe(t)


def test_what_would_wait_is_found():
    with NothingWaits():
        for waits in (
            lambda: bool(torch.zeros(())),
            lambda: torch.ones(3)[torch.ones(3) > 0],
            lambda: torch.tensor(3.0),
        ):
            with pytest.raises(WaitError):
                waits()


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("capture", ["on", "off"])
def test_the_loop_does_not_wait_for_the_gpu(name, capture, tmp_path, monkeypatch):
    model = MODELS[name]()
    there = Runner(model, device="cuda", capture=capture)
    record = list(there.run(1).data_vars)
    wanted = there.run_batch(60, seeds=[3, 8], record=record)
    steps = []
    whole = there._player._stepper

    def watched(state):
        stepper = whole(state)
        plain = stepper.step

        def step(t, rng):
            if t >= 15:  # before that policies are looked at, and the step is captured
                torch.cuda.set_sync_debug_mode("error")
            steps.append(t)
            plain(t, rng)

        stepper.step = step
        return stepper

    end = playing.Validation.end

    def asks(watch):
        torch.cuda.set_sync_debug_mode("default")  # the loop is over
        end(watch)

    monkeypatch.setattr(playing.Validation, "end", asks)
    monkeypatch.setattr(there._player, "_stepper", watched)
    try:
        found = there.run_batch(60, seeds=[3, 8], record=record, store=tmp_path / "runs.zarr")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(steps) == 60
    assert found.load().identical(wanted)
    assert (there.stats().replayed > 40) is (capture == "on")


@pytest.mark.gpu
@pytest.mark.parametrize("name", MODELS)
def test_a_captured_run_has_the_bits_of_one_that_is_not(name):
    model = MODELS[name]()
    seeds = [3, 8, 2**40]
    runs = [
        Runner(model, device="cuda", capture=capture).run_batch(60, seeds=seeds)
        for capture in ("on", "off")
    ]
    assert runs[0].identical(runs[1])
    alone = Runner(model, device="cuda", capture="on").run(60, seed=8)
    for each in alone.data_vars:
        assert (alone[each].values == runs[0][each].isel(run=1).values).all()
