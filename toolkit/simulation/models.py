"""SIR, SEIR and SEIRD epidemics on contact networks."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from toolkit.simulation.epidemic import Compartment, Epidemic
from toolkit.simulation.epidemic_input import by_group, check_between, whole
from toolkit.simulation.interventions import Isolation, Vaccination
from toolkit.simulation.network import ContactNetwork
from toolkit.simulation.policies import Policy


class SIR(Epidemic):
    """Susceptible, infectious, recovered, on a contact network.

    Who is infected in step t is infectious from step ``t + 1`` on.

    Parameters
    ----------
    network
        Who meets whom.
    beta
        Probability of transmission for each contact and step.
    infectious_steps
        At least 1.
    initial_infected, group, susceptibility, vaccination, isolation
        As for :class:`~toolkit.simulation.epidemic.Epidemic`.
    """

    compartments: tuple[Compartment, ...] = (
        Compartment(name="susceptible", then=("infectious",), is_susceptible=True),
        Compartment(
            name="infectious", lasts="infectious_steps", then=("recovered",), is_infectious=True
        ),
        Compartment(name="recovered"),
    )

    def __init__(
        self,
        network: ContactNetwork,
        *,
        beta: float,
        infectious_steps: int = 7,
        initial_infected: int | ArrayLike = 10,
        group: ArrayLike | None = None,
        susceptibility: Sequence[float] | None = None,
        vaccination: Vaccination | None = None,
        isolation: Isolation | Policy | None = None,
    ) -> None:
        super().__init__(
            network,
            beta=beta,
            initial_infected=initial_infected,
            group=group,
            susceptibility=susceptibility,
            vaccination=vaccination,
            isolation=isolation,
        )
        self.infectious_steps = whole(infectious_steps)
        self.check()


class SEIR(Epidemic):
    """Susceptible, exposed, infectious, recovered, on a contact network.

    Who is infected in step t is exposed until step ``t + incubation_steps``, then infectious for
    ``infectious_steps`` steps.

    Parameters
    ----------
    network
        Who meets whom.
    beta
        Probability of transmission for each contact and step.
    incubation_steps
        From infection to being infectious, at least 1.
    infectious_steps
        At least 1.
    initial_infected, group, susceptibility, vaccination, isolation
        As for :class:`~toolkit.simulation.epidemic.Epidemic`.
    """

    compartments: tuple[Compartment, ...] = (
        Compartment(name="susceptible", then=("exposed",), is_susceptible=True),
        Compartment(name="exposed", lasts="incubation_steps", then=("infectious",)),
        Compartment(
            name="infectious", lasts="infectious_steps", then=("recovered",), is_infectious=True
        ),
        Compartment(name="recovered"),
    )

    def __init__(
        self,
        network: ContactNetwork,
        *,
        beta: float,
        incubation_steps: int = 3,
        infectious_steps: int = 7,
        initial_infected: int | ArrayLike = 10,
        group: ArrayLike | None = None,
        susceptibility: Sequence[float] | None = None,
        vaccination: Vaccination | None = None,
        isolation: Isolation | Policy | None = None,
    ) -> None:
        super().__init__(
            network,
            beta=beta,
            initial_infected=initial_infected,
            group=group,
            susceptibility=susceptibility,
            vaccination=vaccination,
            isolation=isolation,
        )
        self.incubation_steps = whole(incubation_steps)
        self.infectious_steps = whole(infectious_steps)
        self.check()


class SEIRD(SEIR):
    """:class:`SEIR` in which some die at the end of their infectious time, by group.

    Parameters
    ----------
    fatality
        By group: probability of death, from 0 to 1.
    severity
        By what ``fatality`` is multiplied: a parameter, to be varied.
    network, beta, incubation_steps, infectious_steps, initial_infected
        As for :class:`SEIR`.
    group, susceptibility, vaccination, isolation
        As for :class:`~toolkit.simulation.epidemic.Epidemic`.
    """

    compartments: tuple[Compartment, ...] = (
        *SEIR.compartments[:2],
        Compartment(
            name="infectious",
            lasts="infectious_steps",
            then=("recovered", "dead"),
            is_infectious=True,
        ),
        Compartment(name="recovered"),
        Compartment(name="dead"),
    )
    branches: ClassVar[dict[str, str]] = {"infectious": "fatality_of_groups"}

    def __init__(
        self,
        network: ContactNetwork,
        *,
        beta: float,
        fatality: Sequence[float],
        severity: float = 1.0,
        incubation_steps: int = 3,
        infectious_steps: int = 7,
        initial_infected: int | ArrayLike = 10,
        group: ArrayLike | None = None,
        susceptibility: Sequence[float] | None = None,
        vaccination: Vaccination | None = None,
        isolation: Isolation | Policy | None = None,
    ) -> None:
        super().__init__(
            network,
            beta=beta,
            incubation_steps=incubation_steps,
            infectious_steps=infectious_steps,
            initial_infected=initial_infected,
            group=group,
            susceptibility=susceptibility,
            vaccination=vaccination,
            isolation=isolation,
        )
        self.severity = nn.Parameter(torch.tensor(float(severity), dtype=torch.float64))
        chances = by_group("fatality", fatality, self.n_groups, otherwise=0.0)
        self.register_buffer("_fatality", torch.from_numpy(chances), persistent=False)
        self._fatality: Tensor
        self.check()

    def check(self) -> None:
        """Look at the parameters, those of a batch included."""
        super().check()
        if hasattr(self, "_fatality"):  # else the models above are being made
            most = self.severity.detach() * self._fatality.max()
            check_between("severity times the largest fatality", most, 0.0, 1.0)

    def fatality_of_groups(self) -> Tensor:
        """Return the probability of death, ``(n_groups, n_runs)``, or ``(n_groups, 1)``."""
        return self._fatality[:, None] * self.severity.reshape(1, -1)
