"""What a call of a runner took."""

import time
from dataclasses import dataclass, field


@dataclass
class RunStats:
    """What the latest call of a runner took.

    Attributes
    ----------
    device
        Where.
    seconds
        By phase: ``init``, ``step``, ``record``, ``label``; of runs that are written to a store
        ``write``, which goes on beside the steps.
    steps, runs, agent_steps
        How many; ``agent_steps`` is agents times runs times steps.
    pushed, pulled, dense
        Steps that counted contacts from the infectious, to all agents, or stepped all agents.
    replayed
        Steps that were replays of a captured one.
    looped
        How many times a rule of one agent was called alone, where vmap could not run it.
    """

    device: str
    seconds: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    runs: int = 0
    agent_steps: int = 0
    pushed: int = 0
    pulled: int = 0
    dense: int = 0
    replayed: int = 0
    looped: int = 0

    def spent(self, phase: str, since: float) -> float:
        """Count the seconds of a phase; return the time at its end."""
        now = time.perf_counter()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - since
        return now
