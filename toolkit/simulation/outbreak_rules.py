"""What the compiled loops of an outbreak go by: a model and its parameters as plain arrays."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from toolkit.simulation.transmission import INFECTION, PULL_COST
from toolkit.stages.draws_by_counter import stream_word

if TYPE_CHECKING:
    from toolkit.simulation.epidemic import Epidemic

AUTO, PUSH, PULL = 0, 1, 2  # how contacts are counted


class Rules(NamedTuple):
    """What an outbreak goes by; what may differ by run has a run dim, else of length 1.

    Attributes
    ----------
    seeds
        Of the runs, int64.
    rows, back
        By layer: offsets and columns of who is met by each agent, and of who meets it, int32.
    escape
        Probability to escape so many contacts, by run, layer, kind and count. Kinds are the groups,
        then those of the vaccinated.
    group, n_groups
        Of each agent, uint8, and how many there are.
    ill, first
        The compartment of the infectious, and that of the newly infected.
    first_steps
        By run: how many steps after its infection an agent leaves that.
    lasts
        By compartment and run: how many steps; -1 for ever.
    is_open
        By compartment: whether agents are infected in it.
    after
        By compartment: what follows, and what else may follow; -1 for nothing.
    chance
        Of the second, by compartment, group and run.
    after_streams, infection_stream
        Words of random numbers: by compartment, and of transmission.
    vaccinated, doses
        That compartment, -1 for none; first step, share in a step and share in the end.
    vaccination_stream
        Its random numbers.
    isolated, tests
        That compartment, -1 for none; first step and probability to be found.
    isolation_stream
        Its random numbers.
    contacts
        ``AUTO``, ``PUSH`` or ``PULL``.
    pull_above
        Of the contacts of those who come or leave, from which share of all contacts these are
        counted anew.
    """

    seeds: Any
    rows: Any
    back: Any
    escape: Any
    group: Any
    n_groups: int
    ill: int
    first: int
    first_steps: Any
    lasts: Any
    is_open: Any
    after: Any
    chance: Any
    after_streams: Any
    infection_stream: int
    vaccinated: int
    doses: tuple[float, float, float]
    vaccination_stream: int
    isolated: int
    tests: tuple[float, float]
    isolation_stream: int
    contacts: int
    pull_above: float


def rules_of(model: "Epidemic", contacts: str) -> Rules:
    """Return what the compiled loops go by, but for the seeds."""
    network, codes = model.network, model.codes
    back = network.reversed()
    vaccination, isolation = model.vaccination, model.isolation
    names = [each.name for each in model.compartments]
    return Rules(
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
        contacts={"auto": AUTO, "push": PUSH, "pull": PULL}[contacts],
        pull_above=PULL_COST,
    )


def _array(given: Tensor) -> NDArray[Any]:
    found: NDArray[Any] = given.detach().numpy()
    return found


def _padded(tables: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return tables by kind, count and run as one by run, layer, kind and count."""
    kinds = len(tables[0])
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
