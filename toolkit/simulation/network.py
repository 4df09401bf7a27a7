"""Contact networks in compressed rows: who meets whom."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from toolkit.errors import SimulationError

if TYPE_CHECKING:
    import networkx
    import scipy.sparse

Ids = NDArray[np.int64]

_MOST_EDGES = 2**31 - 1
_PIECE = 2**16


class ContactNetwork(nn.Module):
    """Contacts between agents, in one or more layers such as household, school and community.

    A layer is held in compressed sparse rows: the contacts of agent ``i`` are
    ``columns[offsets[i]:offsets[i + 1]]``, ascending, int32. There are no weights by contact; each
    layer has one, by which a model may multiply what happens there.

    Made by :meth:`from_edges` and its relatives, and joined by :meth:`stacked`. As a module it
    moves with the model that holds it.

    Attributes
    ----------
    n_agents
        How many agents there are.
    names
        Of the layers.
    weights
        Of the layers.
    """

    def __init__(
        self,
        rows: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]],
        n_agents: int,
        *,
        names: Sequence[str] = ("contacts",),
        weights: Sequence[float] = (1.0,),
        is_symmetric: bool = True,
    ) -> None:
        super().__init__()
        self.n_agents = n_agents
        self.names, self.weights = tuple(names), tuple(float(each) for each in weights)
        self.is_symmetric = is_symmetric
        self._reversed: ContactNetwork | None = None
        for at, (offsets, columns) in enumerate(rows):
            self.register_buffer(f"offsets_{at}", torch.from_numpy(offsets), persistent=False)
            self.register_buffer(f"columns_{at}", torch.from_numpy(columns), persistent=False)

    @classmethod
    def from_edges(
        cls,
        source: ArrayLike,
        target: ArrayLike,
        n_agents: int,
        symmetric: bool = True,
        *,
        name: str = "contacts",
        weight: float = 1.0,
    ) -> "ContactNetwork":
        """Return a network of one layer.

        A pair counts once, however often it is given; an agent's contact with itself is dropped.

        Parameters
        ----------
        source, target
            Agents from 0 to ``n_agents - 1``, shape ``(n_edges,)``: ``source`` may infect
            ``target``.
        n_agents
            How many agents there are.
        symmetric
            Whether contacts go both ways, in whichever direction they are given.
        name, weight
            Of the layer.

        Raises
        ------
        SimulationError
            If an agent is out of range, the arrays differ in length, or are not of whole numbers.

        Examples
        --------
        >>> network = ContactNetwork.from_edges([0, 1], [1, 2], n_agents=4)
        >>> network.n_edges, network.degree().tolist()
        (4, [1, 2, 1, 0])
        """
        _check_count(n_agents)
        ends = [
            _agents(each, n_agents, what) for each, what in ((source, "source"), (target, "target"))
        ]
        if len(ends[0]) != len(ends[1]):
            raise SimulationError(
                f"source has {len(ends[0]):,} agents and target {len(ends[1]):,}: give pairs."
            )
        if not (np.isfinite(weight) and weight >= 0):
            raise SimulationError(f"layer {name!r} has weight={weight}. Give a number from 0 on.")
        rows = _rows(ends[0], ends[1], n_agents, symmetric=symmetric)
        return cls([rows], n_agents, names=[name], weights=[weight], is_symmetric=symmetric)

    @classmethod
    def from_scipy(
        cls,
        matrix: "scipy.sparse.sparray",
        symmetric: bool = True,
        *,
        name: str = "contacts",
        weight: float = 1.0,
    ) -> "ContactNetwork":
        """Return a network of the entries of a sparse matrix, row infects column.

        Raises
        ------
        SimulationError
            If the matrix is not square, or not symmetric where that is promised.
        """
        found: Any = matrix.tocoo()
        if found.shape[0] != found.shape[1]:
            raise SimulationError(f"The matrix has shape {found.shape}: it must be square.")
        kept = found.data != 0
        source, target, n = found.row[kept], found.col[kept], int(found.shape[0])
        if symmetric:
            _check_symmetry(source.astype(np.int64), target.astype(np.int64), n)
        return cls.from_edges(source, target, n, symmetric, name=name, weight=weight)

    @classmethod
    def from_networkx(
        cls, graph: "networkx.Graph", *, name: str = "contacts", weight: float = 1.0
    ) -> "ContactNetwork":
        """Return a network of a graph's edges; its nodes are numbered in the order they have there.

        A directed graph gives contacts that go one way.
        """
        number = {node: at for at, node in enumerate(graph.nodes)}
        edges = np.array([(number[a], number[b]) for a, b in graph.edges()], np.int64).reshape(
            -1, 2
        )
        return cls.from_edges(
            edges[:, 0], edges[:, 1], len(number), not graph.is_directed(), name=name, weight=weight
        )

    @classmethod
    def from_parquet(
        cls,
        path: str,
        n_agents: int,
        symmetric: bool = True,
        *,
        source: str = "source",
        target: str = "target",
        name: str = "contacts",
        weight: float = 1.0,
    ) -> "ContactNetwork":
        """Return a network of two columns of a parquet file; needs pyarrow.

        Raises
        ------
        SimulationError
            If a column is not there.
        """
        import pandas as pd

        table = pd.read_parquet(path)
        for column in (source, target):
            if column not in table:
                raise SimulationError(
                    f"{path} has no column {column!r}. Its columns are: "
                    f"{', '.join(map(str, table))}."
                )
        return cls.from_edges(
            table[source].to_numpy(),
            table[target].to_numpy(),
            n_agents,
            symmetric,
            name=name,
            weight=weight,
        )

    @classmethod
    def stacked(cls, networks: "Sequence[ContactNetwork]") -> "ContactNetwork":
        """Return one network with the layers of several, for the same agents.

        Raises
        ------
        SimulationError
            If the numbers of agents differ or two layers have the same name.
        """
        if not networks:
            raise SimulationError("There is no network to stack. Give at least one.")
        sizes = {each.n_agents for each in networks}
        if len(sizes) > 1:
            raise SimulationError(
                f"The networks have {sorted(sizes)} agents: they must be the same."
            )
        names = [name for each in networks for name in each.names]
        if len(set(names)) < len(names):
            raise SimulationError(f"Two layers have the same name: {', '.join(names)}.")
        return cls(
            [each.rows(at) for each in networks for at in range(each.n_layers)],
            sizes.pop(),
            names=names,
            weights=[weight for each in networks for weight in each.weights],
            is_symmetric=all(each.is_symmetric for each in networks),
        )

    @property
    def n_layers(self) -> int:
        """How many layers there are."""
        return len(self.names)

    @property
    def n_edges(self) -> int:
        """How many contacts there are in all layers; those that go both ways count twice."""
        return sum(len(self.columns(at)) for at in range(self.n_layers))

    def offsets(self, layer: int = 0) -> Tensor:
        """Return where the contacts of each agent begin, shape ``(n_agents + 1,)``, int32."""
        return self.get_buffer(f"offsets_{layer}")

    def columns(self, layer: int = 0) -> Tensor:
        """Return the contacts, shape ``(n_edges,)``, int32."""
        return self.get_buffer(f"columns_{layer}")

    def rows(self, layer: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return offsets and contacts of a layer as numpy arrays, sharing memory on the CPU."""
        return self.offsets(layer).cpu().numpy(), self.columns(layer).cpu().numpy()

    def degree(self, layer: int | None = None) -> Tensor:
        """Return how many contacts each agent has, shape ``(n_agents,)``; None: in all layers."""
        layers = range(self.n_layers) if layer is None else [layer]
        return sum(
            (self.offsets(at).diff() for at in layers),
            start=torch.zeros(self.n_agents, dtype=torch.int32, device=self.offsets().device),
        )

    def summed(self, given: Tensor, layer: int = 0) -> Tensor:
        """Return for each agent the sum over those who may infect it.

        Parameters
        ----------
        given
            By agent, floats, shape ``(n_agents, …)``; so is the result.
        layer
            Whose contacts.
        """
        back = self.reversed()
        met = given[back.columns(layer)]
        ends = back.offsets(layer).long()
        # unsafe: offsets are not looked at again, which on a GPU would wait for it.
        return torch.segment_reduce(met, "sum", offsets=ends, axis=0, initial=0.0, unsafe=True)

    def reversed(self) -> "ContactNetwork":
        """Return the network whose contacts go the other way; itself where they go both ways."""
        if self.is_symmetric:
            return self
        found: ContactNetwork | None = self._reversed
        if found is None:
            # Not as a submodule: that would make it a part of what it was made from.
            found = self.__dict__["_reversed"] = self._turned_around()
        return found.to(self.offsets().device)

    def _turned_around(self) -> "ContactNetwork":
        rows = []
        for at in range(self.n_layers):
            offsets, columns = self.rows(at)
            source = np.repeat(np.arange(self.n_agents, dtype=np.int32), np.diff(offsets))
            rows.append(_rows(columns, source, self.n_agents, symmetric=False))
        return ContactNetwork(
            rows, self.n_agents, names=self.names, weights=self.weights, is_symmetric=False
        )

    def extra_repr(self) -> str:
        """Return what is shown of it."""
        layers = ", ".join(self.names)
        return f"{self.n_agents:,} agents, {self.n_edges:,} contacts ({layers})"


def _rows(
    source: NDArray[np.integer], target: NDArray[np.integer], n: int, *, symmetric: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return offsets and columns of pairs, each once; needs twelve bytes for each contact."""
    key = _keys(source, target, n, symmetric=symmetric)
    key.sort()
    n_edges = _without_repeats(key)
    if n_edges > _MOST_EDGES:
        raise SimulationError(f"{n_edges:,} contacts are more than {_MOST_EDGES:,} in one layer.")
    columns = np.empty(n_edges, np.int32)
    degree = np.zeros(n + 1, np.int32)
    for some in _pieces(n_edges):
        row, columns[some] = np.divmod(key[some], n)
        each, counts = np.unique(row, return_counts=True)
        degree[each + 1] += counts.astype(np.int32)
    return np.cumsum(degree, dtype=np.int32), columns


def _keys(
    source: NDArray[np.integer], target: NDArray[np.integer], n: int, *, symmetric: bool
) -> Ids:
    """Return ``source * n + target`` for all pairs but those of an agent with itself."""
    key = np.empty(len(source) * (2 if symmetric else 1), np.int64)
    filled = 0
    for some in _pieces(len(source)):
        a, b = source[some].astype(np.int64), target[some].astype(np.int64)
        a, b = a[a != b], b[a != b]
        for first, second in ((a, b), (b, a))[: 2 if symmetric else 1]:
            key[filled : filled + len(a)] = first * n + second
            filled += len(a)
    return key[:filled]


def _without_repeats(key: Ids) -> int:
    """Move each of ascending numbers to the front once; return how many these are."""
    kept = 0
    for some in _pieces(len(key)):
        piece = key[some]
        is_new = np.empty(len(piece), np.bool_)
        is_new[0] = kept == 0 or key[kept - 1] != piece[0]
        is_new[1:] = piece[1:] != piece[:-1]
        new = piece[is_new]
        key[kept : kept + len(new)] = new
        kept += len(new)
    return kept


def _pieces(n: int) -> Iterator[slice]:
    """Return slices that cover so many numbers, and stay in a core's cache."""
    return (slice(low, min(low + _PIECE, n)) for low in range(0, n, _PIECE))


def _check_count(n_agents: int) -> None:
    if not 0 < n_agents < 2**31:
        raise SimulationError(f"n_agents={n_agents}: give a whole number from 1 to 2**31 - 1.")


def _agents(given: ArrayLike, n_agents: int, what: str) -> NDArray[np.integer]:
    array = given.cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if array.ndim != 1:
        raise SimulationError(f"{what} has shape {array.shape}: give one agent for each contact.")
    if not len(array):
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise SimulationError(f"{what} is of {array.dtype}: agents are whole numbers.")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= n_agents:
        wrong = low if low < 0 else high
        raise SimulationError(
            f"{what} names agent {wrong}, but n_agents={n_agents:,}: agents go from 0 to "
            f"{n_agents - 1:,}."
        )
    return array


def _check_symmetry(source: Ids, target: Ids, n: int) -> None:
    there = np.unique(source * n + target)
    back = np.unique(target * n + source)
    missing = np.setdiff1d(there, back)
    if len(missing):
        a, b = divmod(int(missing[0]), n)
        raise SimulationError(
            f"The matrix has an entry at ({a}, {b}) and none at ({b}, {a}), and "
            f"{len(missing) - 1:,} more of this kind. Pass symmetric=False for contacts that go "
            "one way."
        )
