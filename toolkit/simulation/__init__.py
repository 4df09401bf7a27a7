"""Simulation of many agents with torch: models, contact networks, and what runs them."""

from toolkit.simulation.compartments import SEIR, SIR
from toolkit.simulation.model import SimulationModel
from toolkit.simulation.network import ContactNetwork
from toolkit.simulation.runner import Runner, RunStats

__all__ = ["SEIR", "SIR", "ContactNetwork", "RunStats", "Runner", "SimulationModel"]
