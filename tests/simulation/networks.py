"""Contact networks drawn at random, for tests."""

import numpy as np

from toolkit.simulation import ContactNetwork


def random_network(n, mean_degree, seed=0, *, symmetric=True, name="contacts", weight=1.0):
    """Return a network of ``n`` agents with so many contacts each, on average."""
    rng = np.random.default_rng(seed)
    m = n * mean_degree // (2 if symmetric else 1)
    return ContactNetwork.from_edges(
        rng.integers(n, size=m), rng.integers(n, size=m), n, symmetric, name=name, weight=weight
    )


def complete_network(n):
    """Return a network in which everybody meets everybody."""
    source, target = np.triu_indices(n, 1)
    return ContactNetwork.from_edges(source, target, n)
