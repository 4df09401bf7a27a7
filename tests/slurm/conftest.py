"""A real SLURM for the tests marked ``slurm``, started once for all of them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.machine import Slurm


@pytest.fixture(scope="session")
def slurm_session() -> Iterator[Slurm]:
    """Start a SLURM on free ports, in a folder with a short path, and stop it at the end."""
    slurm = Slurm(folder=Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")))
    try:
        slurm.up()
        yield slurm
    finally:
        slurm.down()


@pytest.fixture
def slurm(slurm_session: Slurm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """Have SLURM's commands find the SLURM of the tests; no job is left to the next test."""
    for name, value in slurm_session.environment.items():
        monkeypatch.setenv(name, value)
    yield slurm_session
    if slurm_session.run("squeue", "-h"):
        slurm_session.end_jobs()
