import dask
import pytest
from distributed.client import _del_global_client

import toolkit as tk


@pytest.fixture(scope="session")
def cluster():
    with tk.cluster("local", workers=2, threads=1, dashboard=None) as started:
        # Tests without a client stay in this process, and so does Dask.
        _del_global_client(started.client)
        dask.config.set(scheduler=None)
        yield started


@pytest.fixture(scope="session")
def client(cluster):
    return cluster.client
