"""Simulation of many agents with torch: models, contact networks, and what runs them."""

from toolkit.simulation.interventions import Isolation, Vaccination
from toolkit.simulation.mobility import MobilitySEIR
from toolkit.simulation.model import SimulationModel
from toolkit.simulation.models import SEIR, SEIRD, SIR
from toolkit.simulation.network import ContactNetwork
from toolkit.simulation.neurons import IntegrateAndFire
from toolkit.simulation.per_agent import per_agent
from toolkit.simulation.policies import (
    EpidemicPolicy,
    IsolationPolicy,
    Policy,
    StayHomePolicy,
)
from toolkit.simulation.population import Population
from toolkit.simulation.predators import LotkaVolterra
from toolkit.simulation.recording import Record
from toolkit.simulation.run_stats import RunStats
from toolkit.simulation.runner import Runner

__all__ = [
    "SEIR",
    "SEIRD",
    "SIR",
    "ContactNetwork",
    "EpidemicPolicy",
    "IntegrateAndFire",
    "Isolation",
    "IsolationPolicy",
    "LotkaVolterra",
    "MobilitySEIR",
    "Policy",
    "Population",
    "Record",
    "RunStats",
    "Runner",
    "SimulationModel",
    "StayHomePolicy",
    "Vaccination",
    "per_agent",
]
