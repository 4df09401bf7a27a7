"""Who lives in a simulation: arrays by agent, read from files or drawn with a stated structure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toolkit.errors import SimulationError
from toolkit.simulation.network import ContactNetwork

Ids = NDArray[np.int64]

AGE_GROUPS = ("child", "adult", "elder")
HOUSEHOLD_SIZES = (0.30, 0.34, 0.15, 0.13, 0.05, 0.03)
"""Shares of households of 1, 2, … members: about those of Europe (Eurostat, ilc_lvph03, 2022)."""

_CLASS, _TEAM = 24, 12  # members of a school class and of a team at work, about


class Population(Mapping[str, NDArray[Any]]):
    """What is known of each agent, by name: arrays of shape ``(n_agents,)`` that are read only.

    Made by :meth:`from_arrays`, :meth:`from_parquet`, :meth:`from_zarr` and :meth:`synthetic`.

    Parameters
    ----------
    arrays
        By name, all of one length.

    Raises
    ------
    SimulationError
        If there is none, their lengths differ, or one holds anything but numbers and bools.

    Examples
    --------
    >>> people = Population.from_arrays(age=[34, 7, 71], household=[0, 0, 1])
    >>> people.n_agents, people["age"].tolist()
    (3, [34, 7, 71])
    """

    def __init__(self, arrays: Mapping[str, ArrayLike]) -> None:
        found = {name: np.asarray(values) for name, values in arrays.items()}
        lengths = {name: values.shape for name, values in found.items()}
        if not found:
            raise SimulationError("A population needs one array at least, by agent.")
        if len(set(lengths.values())) > 1 or len(next(iter(lengths.values()))) != 1:
            told = ", ".join(f"{name} {shape}" for name, shape in lengths.items())
            raise SimulationError(f"Arrays by agent have one dim of one length; found: {told}.")
        for name, values in found.items():
            if values.dtype.kind not in "biuf":
                raise SimulationError(
                    f"{name!r} is of {values.dtype}: give numbers, such as codes of categories."
                )
            view = values.view()
            view.flags.writeable = False
            found[name] = view
        self._arrays = found
        self.n_agents = len(next(iter(found.values())))

    @classmethod
    def from_arrays(cls, **arrays: ArrayLike) -> "Population":
        """Return a population of arrays that are there; none is copied."""
        return cls(arrays)

    @classmethod
    def from_parquet(cls, path: str, columns: Sequence[str] | None = None) -> "Population":
        """Return the columns of a parquet file; needs pyarrow.

        Raises
        ------
        SimulationError
            If a column is not there, or holds no numbers.
        """
        import pandas as pd

        table = pd.read_parquet(path)
        chosen = _chosen(path, map(str, table), columns)
        return cls({name: table[name].to_numpy() for name in chosen})

    @classmethod
    def from_zarr(cls, path: str, names: Sequence[str] | None = None) -> "Population":
        """Return the arrays of a zarr group that have one dim.

        Raises
        ------
        SimulationError
            If an array is not there, or lengths differ.
        """
        import xarray as xr

        data = xr.open_zarr(path, chunks=None, consolidated=False)
        known = [str(name) for name, each in data.variables.items() if each.ndim == 1]
        return cls({name: data[name].values for name in _chosen(path, known, names)})

    @classmethod
    def synthetic(
        cls,
        n_agents: int,
        *,
        seed: int = 0,
        household_sizes: Sequence[float] = HOUSEHOLD_SIZES,
        children: float = 0.2,
        elders: float = 0.2,
    ) -> "Population":
        """Return a population that is drawn: households, ages, school classes and teams at work.

        Children live in households with an adult at least. Each child has a class and each adult a
        team, of about 24 and 12 members.

        Parameters
        ----------
        n_agents
            How many, from 1 on.
        seed
            The same seed draws the same population.
        household_sizes
            Shares of households of 1, 2, … members, which sum to 1.
        children, elders
            Shares of all agents.

        Returns
        -------
        Population
            ``household``, ``school`` and ``work`` (int32, -1 for none), and ``age_group`` (uint8):
            0 child, 1 adult, 2 elder.

        Raises
        ------
        SimulationError
            If shares do not sum to 1, or there is no room for so many children.
        """
        if not 0 < n_agents < 2**31:
            raise SimulationError(f"n_agents={n_agents}: give a whole number from 1 to 2**31 - 1.")
        shares = _shares(household_sizes)
        for name, share in (("children", children), ("elders", elders)):
            if not 0 <= share <= 1:
                raise SimulationError(f"{name}={share:g}: it is a share, from 0 to 1.")
        if children + elders > 1:
            raise SimulationError(
                f"children={children:g} and elders={elders:g} are above 1 in sum."
            )
        rng = np.random.default_rng([0x706F70, seed])
        household = _households(n_agents, shares, rng)
        age_group = _ages(household, children, elders, rng)
        found: dict[str, ArrayLike] = {
            "household": household.astype(np.int32),
            "age_group": age_group,
            "school": _members(age_group == 0, _CLASS, rng),
            "work": _members(age_group == 1, _TEAM, rng),
        }
        return cls(found)

    def network(
        self,
        *,
        community: float = 6.0,
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> ContactNetwork:
        """Return who meets whom, in a layer for each of household, school, work and community.

        Members of a household meet each other, as do those of a class and of a team; in the
        community agents meet at random. Layers without contacts are left out.

        Parameters
        ----------
        community
            How many contacts an agent has there, on average.
        weights
            By layer, what multiplies ``beta`` there; 1 where none is given.
        seed
            Draws the community.

        Raises
        ------
        SimulationError
            If a weight is of a layer that is not there.
        """
        layers: list[tuple[str, Ids]] = []
        wanted = dict(weights or {})
        for name in ("household", "school", "work"):
            if name in self:
                pairs = _together(np.asarray(self[name]))
                layers.append((name, pairs))
        rng = np.random.default_rng([0x636F6D, seed])
        count = rng.poisson(community * self.n_agents / 2) if community > 0 else 0
        layers.append(("community", rng.integers(self.n_agents, size=(2, count))))
        layers = [(name, pairs) for name, pairs in layers if pairs.shape[1]]
        if unknown := set(wanted) - {name for name, _ in layers}:
            raise SimulationError(
                f"weights names {', '.join(map(repr, sorted(unknown)))}; the layers are: "
                f"{', '.join(name for name, _ in layers) or 'none'}."
            )
        if not layers:
            raise SimulationError("Nobody meets anybody: give community contacts above 0.")
        return ContactNetwork.stacked(
            [
                ContactNetwork.from_edges(
                    source, target, self.n_agents, name=name, weight=wanted.get(name, 1.0)
                )
                for name, (source, target) in layers
            ]
        )

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return an array by its name."""
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """Return how many arrays there are."""
        return len(self._arrays)

    def __repr__(self) -> str:
        """Return what is shown of it."""
        kinds = ", ".join(f"{name} {values.dtype}" for name, values in self._arrays.items())
        return f"<population of {self.n_agents:,} agents: {kinds}>"


def _chosen(path: str, known: Any, names: Sequence[str] | None) -> list[str]:
    there = list(known)
    for name in names or ():
        if name not in there:
            raise SimulationError(f"{path} has no {name!r}. It has: {', '.join(there)}.")
    return there if names is None else list(names)


def _shares(given: Sequence[float]) -> NDArray[np.float64]:
    shares = np.asarray(given, np.float64)
    is_right = shares.ndim == 1 and len(shares) and (shares >= 0).all()
    if not is_right or not np.isclose(shares.sum(), 1.0, atol=1e-6):
        raise SimulationError(
            f"household_sizes={list(given)}: give shares of households of 1, 2, … members, from 0 "
            "on, which sum to 1."
        )
    found: NDArray[np.float64] = shares / shares.sum()
    return found


def _households(n: int, shares: NDArray[np.float64], rng: np.random.Generator) -> Ids:
    """Return the household of each agent; the members of one are next to each other."""
    mean = float(shares @ np.arange(1, len(shares) + 1))
    sizes = np.zeros(0, np.int64)
    while sizes.sum() < n:
        more = int((n - sizes.sum()) / mean * 1.05) + 16
        sizes = np.concatenate([sizes, 1 + rng.choice(len(shares), more, p=shares)])
    return np.repeat(np.arange(len(sizes)), sizes)[:n]


def _ages(
    household: Ids, children: float, elders: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return age groups: the first of a household is no child, others may be."""
    n = len(household)
    is_first = np.concatenate([[True], household[1:] != household[:-1]])
    position = np.arange(n) - np.maximum.accumulate(np.where(is_first, np.arange(n), 0))
    may_be = np.flatnonzero(position >= 2)  # third members and further ones first
    wanted = round(children * n)
    if wanted > len(may_be):
        more = np.flatnonzero(position == 1)
        if wanted > len(may_be) + len(more):
            raise SimulationError(
                f"children={children:g}: households have room for "
                f"{(len(may_be) + len(more)) / n:.2f} at most. Make them larger."
            )
        chosen = np.concatenate([may_be, rng.permutation(more)[: wanted - len(may_be)]])
    else:
        chosen = rng.permutation(may_be)[:wanted]
    found = np.ones(n, np.uint8)
    found[chosen] = 0
    rest = np.flatnonzero(found == 1)
    # Elders live with elders: whole households without children come first.
    has_child = np.bincount(household, weights=found == 0) > 0
    key = rng.random(int(household[-1]) + 1) + has_child
    found[rest[np.argsort(key[household[rest]], kind="stable")][: round(elders * n)]] = 2
    return found


def _members(some: NDArray[np.bool_], size: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return groups of about so many, of some agents in random order; -1 for all others."""
    found = np.full(len(some), -1, np.int32)
    who = rng.permutation(np.flatnonzero(some))
    n_groups = max(1, round(len(who) / size))
    found[who] = np.arange(len(who)) * n_groups // max(1, len(who))
    return found


def _together(group: Ids) -> Ids:
    """Return all pairs of members of the same group, shape ``(2, n)``; -1 is in none."""
    order = np.argsort(group, kind="stable")
    order = order[group[order] >= 0]
    ends = np.flatnonzero(np.diff(group[order], append=-2)) + 1
    if not len(order):
        return np.zeros((2, 0), np.int64)
    starts = np.concatenate([[0], ends[:-1]])
    parts = []
    for size in np.unique(ends - starts).tolist():
        first, second = np.triu_indices(size, 1)
        begin = starts[ends - starts == size]
        parts.append(np.stack([(begin[:, None] + each).reshape(-1) for each in (first, second)]))
    found: Ids = order[np.concatenate(parts, axis=1)]
    return found
