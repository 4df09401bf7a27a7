import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

import toolkit as tk

Toolkit = Callable[..., Result]


def test_reproduce_prints_what_the_function_returns(toolkit: Toolkit, folder: Path) -> None:
    done = toolkit("reproduce study.py:sweep beta=.2 gamma=.1")
    assert done.stdout == "{'peak': 2.0, 'rate': 0.9}\n"
    assert not (folder / "sir.zarr").exists()


def test_reproduce_of_a_failed_run_shows_its_traceback_alone(toolkit: Toolkit) -> None:
    toolkit("run study.py", code=1)
    by_id = toolkit("reproduce study.py --run 11", code=1)
    by_labels = toolkit("reproduce study.py beta=.4 gamma=.2", code=1)
    assert by_id.stderr == by_labels.stderr
    assert "ValueError: no epidemic at 0.4" in by_id.stderr
    assert "toolkit/" not in by_id.stderr
    assert by_id.stdout == ""


def test_reproduce_wants_one_point(toolkit: Toolkit) -> None:
    assert "beta, gamma, or --run" in toolkit("reproduce study.py", code=2).stderr
    assert "one point" in toolkit("reproduce study.py beta=.1", code=2).stderr
    assert "not by both" in toolkit("reproduce study.py beta=.1 --run 3", code=2).stderr
    assert "0.15" in toolkit("reproduce study.py beta=.15 gamma=.1", code=2).stderr


def test_reproduce_of_a_sweep_of_one_run_needs_no_label(toolkit: Toolkit, folder: Path) -> None:
    study = folder / "study.py"
    study.write_text(study.read_text().replace("[0.1, 0.2, 0.3, 0.4]", "0.1"))
    done = toolkit("reproduce study.py --set gamma=.1")
    assert "'peak': 1.0" in done.stdout


def test_reproduce_gives_the_streams_of_the_sweep(toolkit: Toolkit, folder: Path) -> None:
    (folder / "study.py").write_text(
        "import toolkit as tk\n"
        "def draw(x, rng):\n    return rng.random()\n"
        "space = tk.grid(x=[1, 2], trial=tk.replicates(3))\n"
        "sweep = tk.Sweep(draw, space, store='draws.zarr', seed=7)\n"
    )
    toolkit("run study.py")
    stored = float(tk.open("draws.zarr").draw.sel(x=2, trial=1))
    assert float(toolkit("reproduce study.py x=2 trial=1").stdout) == stored


def test_the_debugger_opens_in_the_function(folder: Path) -> None:
    line = "reproduce study.py beta=.4 gamma=.2 --pdb"
    done = subprocess.run(
        [sys.executable, "-c", "from toolkit.cli import main; main()", *line.split()],
        input="p ('beta is', beta)\nq\n",
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "('beta is', 0.4)" in done.stdout
    assert done.returncode == 1
