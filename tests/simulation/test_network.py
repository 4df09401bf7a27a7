import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.simulation.networks import random_network
from toolkit.errors import SimulationError
from toolkit.simulation import ContactNetwork


@given(
    edges=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=40),
    symmetric=st.booleans(),
)
def test_rows_are_the_neighbors_of_each_agent(edges, symmetric):
    source, target = [a for a, _ in edges], [b for _, b in edges]
    network = ContactNetwork.from_edges(source, target, 10, symmetric)
    pairs = {(a, b) for a, b in edges if a != b}
    if symmetric:
        pairs |= {(b, a) for a, b in pairs}
    offsets, columns = network.rows()
    for agent in range(10):
        found = columns[offsets[agent] : offsets[agent + 1]].tolist()
        assert found == sorted(b for a, b in pairs if a == agent)
    assert network.n_edges == len(pairs)
    back = network.reversed()
    assert back.n_edges == len(pairs)
    offsets, columns = back.rows()
    for agent in range(10):
        found = columns[offsets[agent] : offsets[agent + 1]].tolist()
        assert found == sorted(a for a, b in pairs if b == agent)


def test_offsets_and_contacts_are_narrow():
    offsets, columns = random_network(100, 6).rows()
    assert (offsets.dtype, columns.dtype) == (np.int32, np.int32)


@pytest.mark.parametrize("symmetric", [True, False])
def test_sums_go_over_those_who_may_infect(symmetric):
    network = random_network(50, 4, symmetric=symmetric)
    offsets, columns = network.rows()
    matrix = np.zeros((50, 50))
    for agent in range(50):
        matrix[agent, columns[offsets[agent] : offsets[agent + 1]]] = 1
    given_ = np.random.default_rng(1).random((50, 3)).astype(np.float32)
    found = network.summed(torch.from_numpy(given_)).numpy()
    np.testing.assert_allclose(found, matrix.T @ given_, rtol=1e-5)


def test_layers_are_stacked():
    network = ContactNetwork.stacked(
        [
            random_network(30, 2, 1, name="household", weight=3.0),
            random_network(30, 4, 2, name="school"),
        ]
    )
    assert network.names == ("household", "school")
    assert network.weights == (3.0, 1.0)
    assert network.degree().tolist() == (network.degree(0) + network.degree(1)).tolist()
    assert "household, school" in repr(network)


def test_networks_come_from_scipy_networkx_and_parquet(tmp_path):
    sparse = pytest.importorskip("scipy.sparse")
    networkx = pytest.importorskip("networkx")
    pytest.importorskip("pyarrow")
    source, target = np.array([0, 1, 4]), np.array([1, 2, 3])
    wanted = ContactNetwork.from_edges(source, target, 5)
    matrix = sparse.coo_array((np.ones(3), (source, target)), shape=(5, 5))
    graph = networkx.Graph()
    graph.add_nodes_from("abcde")
    graph.add_edges_from([("a", "b"), ("b", "c"), ("e", "d")])
    path = tmp_path / "edges.parquet"
    pd.DataFrame({"source": source, "target": target}).to_parquet(path)
    for found in (
        ContactNetwork.from_scipy(matrix + matrix.T),
        ContactNetwork.from_networkx(graph),
        ContactNetwork.from_parquet(str(path), 5),
    ):
        for mine, theirs in zip(found.rows(), wanted.rows(), strict=True):
            assert mine.tolist() == theirs.tolist()
    with pytest.raises(
        SimulationError, match=r"entry at \(0, 1\) and none at \(1, 0\), and 2 more"
    ):
        ContactNetwork.from_scipy(matrix)
    with pytest.raises(
        SimulationError, match=r"no column 'from'\. Its columns are: source, target"
    ):
        ContactNetwork.from_parquet(str(path), 5, source="from")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ContactNetwork.from_edges([0, 5], [1, 2], 5),
            "source names agent 5, but n_agents=5",
        ),
        (lambda: ContactNetwork.from_edges([0, 1], [1, -2], 5), "target names agent -2"),
        (lambda: ContactNetwork.from_edges([0, 1], [1], 5), "source has 2 agents and target 1"),
        (lambda: ContactNetwork.from_edges([0.5], [1], 5), "float64: agents are whole numbers"),
        (lambda: ContactNetwork.from_edges([[0]], [1], 5), "one agent for each contact"),
        (lambda: ContactNetwork.from_edges([0], [1], 0), "n_agents=0"),
        (lambda: ContactNetwork.from_edges([0], [1], 2, weight=-1.0), "weight=-1.0"),
        (lambda: ContactNetwork.stacked([]), "no network to stack"),
        (lambda: ContactNetwork.stacked([random_network(4, 2), random_network(5, 2)]), r"\[4, 5\]"),
        (lambda: ContactNetwork.stacked([random_network(4, 2)] * 2), "the same name"),
    ],
)
def test_a_wrong_network_is_refused_in_words(make, message):
    with pytest.raises(SimulationError, match=message):
        make()


def test_nobody_meets_anybody_where_there_are_no_edges():
    network = ContactNetwork.from_edges([], [], 3)
    assert network.n_edges == 0
    assert network.summed(torch.ones(3)).tolist() == [0, 0, 0]
