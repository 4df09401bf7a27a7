"""A study in a folder of its own, and the command line in this process."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from toolkit.cli import main

STUDY = """
import toolkit as tk


def sir(beta, gamma, infected=1.0):
    if beta > 0.35 and gamma > 0.15:
        raise ValueError(f"no epidemic at {beta}")
    return {"peak": beta / gamma * infected, "rate": 1 - gamma}


sweep = tk.Sweep(
    sir, tk.grid(beta=[0.1, 0.2, 0.3, 0.4], gamma=[0.05, 0.1, 0.2]), store="sir.zarr"
)
"""

Toolkit = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with ``study.py``; what it imports is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("NO_COLOR", raising=False)
    (tmp_path / "study.py").write_text(STUDY)
    yield tmp_path
    here = os.path.realpath(tmp_path)
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(here):
            del sys.modules[name]


@pytest.fixture
def toolkit(folder: Path) -> Toolkit:
    """Run a command line, given as one text, in the folder."""
    import shlex

    def run(line: str, *, code: int = 0) -> Result:
        done = CliRunner().invoke(main, shlex.split(line), prog_name="toolkit")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done

    return run
