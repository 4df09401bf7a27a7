import os
from pathlib import Path

import dask
import pytest
from distributed.client import _del_global_client

import toolkit as tk


class Calls:
    """Calls of functions, noted in files by whatever process makes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def note(self, what: str) -> None:
        with open(os.path.join(self.folder, f"{what}-{os.getpid()}"), "a") as file:
            file.write("x")

    def taken(self, what: str) -> int:
        """Return how many calls there were since the last look."""
        return sum(self.by_process(what).values())

    def by_process(self, what: str) -> dict[int, int]:
        found = {}
        for path in Path(self.folder).glob(f"{what}-*"):
            found[int(path.name.rpartition("-")[2])] = len(path.read_text())
            path.unlink()
        return found


@pytest.fixture
def calls(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    return Calls(folder)


@pytest.fixture
def in_process():
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def client():
    with tk.cluster("local", workers=2, threads=1, dashboard=None) as started:
        # Tests without a client stay in this process, and so does Dask.
        _del_global_client(started.client)
        dask.config.set(scheduler=None)
        yield started.client
