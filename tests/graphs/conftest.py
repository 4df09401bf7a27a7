import os
from pathlib import Path

import dask
import pytest


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
