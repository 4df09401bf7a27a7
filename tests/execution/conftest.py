import pytest

import toolkit as tk


@pytest.fixture(scope="session")
def cluster():
    with tk.cluster("local", workers=2, threads=1, dashboard=None) as started:
        yield started


@pytest.fixture(scope="session")
def client(cluster):
    return cluster.client
