"""Leaky integrate-and-fire neurons on a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from toolkit.errors import SimulationError
from toolkit.simulation.model import SimulationModel
from toolkit.simulation.network import ContactNetwork

if TYPE_CHECKING:
    from toolkit.simulation.step_draws import StepDraws

INHIBITORY = "inhibitory"


@dataclass
class NeuronState:
    """Five bytes for each neuron and run.

    Attributes
    ----------
    potential
        Above rest, mV, float32, shape ``(n_agents, n_runs)``.
    wait
        Steps until the neuron listens again, uint8, same shape: as many as a spike has set in the
        step in which it spiked.
    """

    potential: Tensor
    wait: Tensor


class IntegrateAndFire(SimulationModel):
    r"""Leaky integrate-and-fire neurons (as in Brunel, J. Comput. Neurosci. 8, 183, 2000).

    The potential v of a neuron decays with the time constant tau and is driven by a constant mu, by
    noise, and by the spikes of the step before, each of which moves it by J:

    .. math:: v_{t+1} = \mu + (v_t - \mu) e^{-\Delta t / \tau}
              + \sigma \sqrt{1 - e^{-2 \Delta t / \tau}} \, \xi_t + J \, (n_e - g \, n_i)

    At the threshold a neuron spikes, is reset to 0 and does not listen for the refractory time.
    Contacts of a layer named ``"inhibitory"`` count as :math:`n_i`, all others, times the weight of
    their layer, as :math:`n_e`.

    Parameters
    ----------
    network
        Whose spikes reach whom.
    drive
        mu, mV.
    noise
        sigma, the standard deviation of a potential without threshold and spikes, mV.
    weight
        J, mV.
    inhibition
        g.
    tau
        Of the membrane, ms.
    threshold
        Above rest, mV.
    refractory
        ms, at most 254 steps.
    dt
        Of a step, ms.

    Raises
    ------
    SimulationError
        If a number is out of its range.
    """

    drive: Tensor
    noise: Tensor
    weight: Tensor
    inhibition: Tensor
    tau: Tensor
    threshold: Tensor

    def __init__(
        self,
        network: ContactNetwork,
        *,
        drive: float,
        noise: float = 0.0,
        weight: float = 0.1,
        inhibition: float = 4.0,
        tau: float = 20.0,
        threshold: float = 20.0,
        refractory: float = 2.0,
        dt: float = 0.1,
    ) -> None:
        super().__init__()
        self.network, self.n_agents = network, network.n_agents
        if not dt > 0:
            raise SimulationError(f"dt={dt:g}: it must be above 0 ms.")
        if not 0 <= round(refractory / dt) <= 254:
            raise SimulationError(
                f"refractory={refractory:g} ms is {refractory / dt:g} steps of {dt:g} ms: it must "
                "be from 0 to 254 steps."
            )
        self.dt, self.refractory_steps = dt, round(refractory / dt)
        self.add_numbers(
            drive=drive,
            noise=noise,
            weight=weight,
            inhibition=inhibition,
            tau=tau,
            threshold=threshold,
        )
        self.check()

    def check(self) -> None:
        """Look at the parameters, those of a batch included.

        Raises
        ------
        SimulationError
            If one is out of its range.
        """
        for name, low in (("tau", 0.0), ("threshold", 0.0)):
            if not bool((getattr(self, name) > low).all()):
                raise SimulationError(f"{name} must be above {low:g}.")
        if not bool((self.noise >= 0).all()):
            raise SimulationError("noise is a standard deviation: it must be from 0 on.")
        self._is_noisy = bool((self.noise.detach() > 0).any())  # a step may not ask for it

    def initial_state(self, rng: "StepDraws") -> NeuronState:
        """Return potentials spread evenly between rest and threshold."""
        start = rng.uniform("start", self.n_agents) * self.threshold
        return NeuronState(
            start.float(), torch.zeros(start.shape, dtype=torch.uint8, device=start.device)
        )

    def step(self, state: NeuronState, t: int, rng: "StepDraws") -> NeuronState:
        """Return the state after a step."""
        del t
        decay = torch.exp(-self.dt / self.tau)
        v = self.drive + (state.potential.double() - self.drive) * decay
        v = v + self._received(self._has_spiked(state))
        if self._is_noisy:
            size = self.noise * torch.sqrt(1 - decay**2)
            v = v + size * rng.normal("noise", self.n_agents)
        listens = state.wait <= 1  # the step in which it ends counts
        v = torch.where(listens, v, torch.zeros_like(v))
        spikes = listens & (v >= self.threshold)
        wait = torch.where(spikes, self.refractory_steps + 1, (state.wait.long() - 1).clamp(min=0))
        v = torch.where(spikes, torch.zeros_like(v), v)
        return NeuronState(v.float(), wait.to(torch.uint8))

    def observe(self, state: NeuronState, t: int) -> Mapping[str, Tensor]:
        """Return the number of spikes in the step, and the mean potential, mV."""
        del t
        return {
            "spikes": self._has_spiked(state).sum(0),
            "potential": state.potential.double().mean(0),
        }

    def _has_spiked(self, state: NeuronState) -> Tensor:
        return state.wait == self.refractory_steps + 1

    def _received(self, spikes: Tensor) -> Tensor:
        """Return by how much the spikes of others move each potential, mV."""
        total = torch.zeros(spikes.shape, dtype=torch.float64, device=spikes.device)
        for layer, (name, factor) in enumerate(
            zip(self.network.names, self.network.weights, strict=True)
        ):
            count = self.network.summed(spikes.double(), layer) * factor
            total = total - self.inhibition * count if name == INHIBITORY else total + count
        return self.weight * total
