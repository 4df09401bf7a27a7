"""An outbreak stepped by compiled loops, where numba is installed; without it numpy does the same."""

from collections.abc import Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.simulation.transmission import INFECTION, PULL_COST
from toolkit.stages.draws_by_counter import stream_word

if TYPE_CHECKING:
    from toolkit.simulation.epidemic import Epidemic, EpidemicState
    from toolkit.simulation.step_draws import StepDraws

Counts = NDArray[np.int64]


@cache
def kernels() -> ModuleType | None:
    """Return :mod:`toolkit.simulation.kernels`, None where it cannot be had.

    Numba keeps what it has compiled beside the package, or in the user's cache; where it can write
    to neither, nothing is compiled.
    """
    try:
        from toolkit.simulation import kernels as found
    except (ImportError, RuntimeError):
        return None
    return found


class CompiledOutbreak:
    """Steps an epidemic in place on the CPU, bit for bit as :meth:`Epidemic.step` does.

    Many steps are one call, in which one run goes after the other. All that is kept from one call
    to the next is the state: three bytes for each agent and run.

    Parameters
    ----------
    model
        Whose rules these are, with the parameters of the runs; :func:`kernels` must be there, and
        nobody have more contacts in a layer than they count.
    state
        Before the next step; changed in place.
    contacts
        ``"push"``, ``"pull"`` or ``"auto"``.

    Attributes
    ----------
    state
        After the latest step.
    observables
        The names of what is observed.
    pushed, pulled
        In how many steps runs counted contacts so.
    """

    def __init__(self, model: "Epidemic", state: "EpidemicState", *, contacts: str) -> None:
        self.state = state
        state.stage, state.until = (each.T.contiguous().T for each in (state.stage, state.until))
        self.observables = ("new_infections", *model.codes)
        self.pushed = self.pulled = 0
        self._kernels: Any = kernels()
        self._rules = rules_of(model, self._kernels, contacts)
        self._latest: Mapping[str, Counts] = {}

    def play(self, start: int, steps: int, rng: "StepDraws") -> dict[str, Counts]:
        """Go on by many steps; return what is observed after each, shape ``(steps, n_runs)``."""
        found = np.empty((steps, len(self.observables), rng.n_runs), np.int64)
        ways = np.zeros(steps, np.uint8)
        stage, until = (each.T.numpy() for each in (self.state.stage, self.state.until))
        rules = self._rules._replace(seeds=rng.seeds.numpy())
        self._kernels.play(stage, until, rules, start, steps, found, ways)
        self.pushed += int(((ways & self._kernels.PUSHED) > 0).sum())
        self.pulled += int(((ways & self._kernels.PULLED) > 0).sum())
        *codes, new = (found[:, at] for at in range(found.shape[1]))
        return dict(zip(self.observables, (new, *codes), strict=True))

    def step(self, t: int, rng: "StepDraws") -> None:
        """Go on by step ``t``."""
        self._latest = {name: each[0] for name, each in self.play(t, 1, rng).items()}

    def observe(self, t: int) -> Mapping[str, Counts]:
        """Return new infections, and how many agents are in each compartment."""
        del t
        return self._latest


def is_countable(model: "Epidemic") -> bool:
    """Return whether there are compiled loops, and they count an agent's contacts in 14 bits."""
    found = kernels()
    most = max(len(each[0]) - 1 for each in model.escapes())
    return found is not None and most <= found.MOST_COUNTED


def rules_of(model: "Epidemic", compiled: Any, contacts: str) -> Any:
    """Return what the compiled loops go by, but for the seeds."""
    network, codes = model.network, model.codes
    back = network.reversed()
    vaccination, isolation = model.vaccination, model.isolation
    names = [each.name for each in model.compartments]
    return compiled.Rules(
        seeds=np.zeros(0, np.int64),
        rows=tuple(network.rows(layer) for layer in range(network.n_layers)),
        back=tuple(back.rows(layer) for layer in range(back.n_layers)),
        escape=_padded([_array(each) for each in model.escapes()]),
        group=model.group.numpy(),
        n_groups=model.n_groups,
        ill=model.infectious,
        first=model.first,
        first_steps=_array(model.first_steps).reshape(-1).astype(np.int64),
        lasts=_lasts(model),
        is_open=np.array([each.is_susceptible for each in model.compartments]),
        after=np.array(
            [[*(codes[name] for name in each.then), -1, -1][:2] for each in model.compartments],
            np.int64,
        ),
        chance=_chances(model),
        after_streams=np.array([stream_word(f"after {name}") for name in names], np.int64),
        infection_stream=stream_word(INFECTION),
        vaccinated=codes.get("vaccinated", -1),
        doses=(
            (0.0, 1.0, 0.0)
            if vaccination is None
            else (float(vaccination.start), vaccination.per_step, vaccination.coverage)
        ),
        vaccination_stream=stream_word("vaccination"),
        isolated=codes.get("isolated", -1),
        tests=((0.0, 0.0) if isolation is None else (float(isolation.start), isolation.detection)),
        isolation_stream=stream_word("isolation"),
        contacts={"auto": compiled.AUTO, "push": compiled.PUSH, "pull": compiled.PULL}[contacts],
        pull_above=PULL_COST,
    )


def _array(given: Tensor) -> NDArray[Any]:
    found: NDArray[Any] = given.detach().numpy()
    return found


def _padded(tables: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return tables by kind, count and run as one by run, layer, kind and count."""
    kinds, _, n_runs = tables[0].shape
    most = max(each.shape[1] for each in tables)
    found = np.zeros((max(each.shape[2] for each in tables), len(tables), kinds, most))
    for layer, each in enumerate(tables):
        found[:, layer, :, : each.shape[1]] = np.moveaxis(each, 2, 0)
    return found


def _lasts(model: "Epidemic") -> NDArray[np.int64]:
    """Return how many steps compartments last, by compartment and run; -1 for ever."""
    steps = [model.steps_in(code) for code in model.codes.values()]
    rows = [np.array([-1]) if each is None else _array(each).reshape(-1) for each in steps]
    n_runs = max(len(each) for each in rows)
    return np.stack([np.broadcast_to(each, n_runs) for each in rows]).astype(np.int64)


def _chances(model: "Epidemic") -> NDArray[np.float64]:
    """Return how probable the second is that may follow, by compartment, group and run."""
    chances = {
        code: _array(model.chance_of_second(code))
        for code, each in enumerate(model.compartments)
        if len(each.then) > 1
    }
    n_runs = max((each.shape[1] for each in chances.values()), default=1)
    found = np.zeros((len(model.compartments), model.n_groups, n_runs))
    for code, each in chances.items():
        found[code] = each
    return found
