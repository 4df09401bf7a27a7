"""Damaged stores to read, and a watch over what reading them does."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.trust import specimens
from toolkit.stores.files import limits

_heard: list[str] | None = None


def _listen(event: str, _: tuple) -> None:
    if _heard is not None and event in ("pickle.find_class", "subprocess.Popen", "os.system"):
        _heard.append(event)


sys.addaudithook(_listen)


@contextmanager
def _heard_within() -> Iterator[list[str]]:
    global _heard
    _heard = []
    try:
        yield _heard
    finally:
        _heard = None


@pytest.fixture
def heard() -> Callable:
    """Give a context that lists what Python's audit says is unpickled or started within it."""
    return _heard_within


@pytest.fixture(scope="session")
def specimen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make every kind of store once."""
    folder = tmp_path_factory.mktemp("specimens")
    specimens.made(folder)
    return folder


@pytest.fixture
def specimen(specimen_folder: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Return a copy of one kind of store, to be damaged."""

    def copy(kind: str) -> Path:
        shutil.copytree(specimen_folder / f"{kind}.zarr", tmp_path / f"{kind}.zarr")
        return tmp_path / f"{kind}.zarr"

    return copy


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let 32 MB of memory be available, of which 1 MB may be taken without asking."""
    monkeypatch.setattr(limits, "room", lambda: 32 << 20)
    monkeypatch.setattr(limits, "SMALL", 1 << 20)
    return 32 << 20
