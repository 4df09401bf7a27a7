import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import toolkit as tk

Toolkit = Callable[..., Result]

NOBODY = 65534


def test_a_report_is_one_file_beside_the_user(toolkit: Toolkit, folder: Path) -> None:
    toolkit("run study.py", code=1)
    done = toolkit("report sir.zarr")
    written = folder / "sir_report.html"
    name, _, size = done.stdout.strip().partition(": ")
    assert name == "sir_report.html"
    assert size == f"{written.stat().st_size / 1000:.3g} kB"
    page = written.read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "no epidemic at 0.4" in page
    assert "toolkit reproduce" in page or "reproduce(" in page


def test_the_counts_are_those_of_status(toolkit: Toolkit, folder: Path) -> None:
    toolkit("run study.py beta=.1,.4", code=1)
    toolkit("report sir.zarr --output out.html")
    counts = tk.status("sir.zarr").loc["sir"]
    page = (folder / "out.html").read_text()
    for state in ("done", "failed"):
        assert f"{int(counts[state])} {state} (" in page


def test_a_former_report_is_replaced_and_any_other_file_left_alone(
    toolkit: Toolkit, folder: Path
) -> None:
    toolkit("run study.py beta=.1")
    toolkit("report sir.zarr --output out.html")
    first = (folder / "out.html").read_text()
    assert "6 runs" not in first
    toolkit("run study.py beta=.2")
    toolkit("report sir.zarr --output out.html")
    assert "<b>6</b>" in (folder / "out.html").read_text()
    (folder / "thesis.html").write_text("<!DOCTYPE html><p>years of work")
    said = toolkit("report sir.zarr --output thesis.html", code=2).stderr
    assert "thesis.html is there and is no report" in said
    assert (folder / "thesis.html").read_text() == "<!DOCTYPE html><p>years of work"


def test_a_link_to_a_report_stays_a_link(toolkit: Toolkit, folder: Path) -> None:
    toolkit("run study.py beta=.1")
    toolkit("report sir.zarr --output real.html")
    (folder / "link.html").symlink_to("real.html")
    before = (folder / "real.html").stat().st_ino
    toolkit("report sir.zarr --output link.html")
    assert (folder / "link.html").is_symlink()
    assert (folder / "real.html").stat().st_ino != before


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("folder", "folder is a folder"),
        ("nowhere/out.html", "there is no folder nowhere"),
        ("sir.zarr/out.html", "inside of the store"),
        ("sir.zarr", "sir.zarr is a folder"),
        ("nothing.html", "is there and is no report"),
        ("pipe", "is there and is no report"),
        ("/proc/report.html", "cannot be written"),
    ],
)
def test_an_impossible_place_is_an_error_before_any_work(
    toolkit: Toolkit, folder: Path, monkeypatch: pytest.MonkeyPatch, out: str, says: str
) -> None:
    toolkit("run study.py beta=.1")
    (folder / "folder").mkdir()
    (folder / "nothing.html").symlink_to("gone.html")
    os.mkfifo(folder / "pipe")

    def work(store: Path) -> str:
        raise AssertionError("the store was read")

    monkeypatch.setattr("toolkit.commands.reporting._document", work)
    done = toolkit(f"report sir.zarr --output {out}", code=2)
    assert says in done.stderr
    assert "Next: toolkit report sir.zarr --output" in done.stderr
    assert sorted(folder.rglob("*.part")) == []


def test_who_may_not_write_there_is_told_so(toolkit: Toolkit, folder: Path) -> None:
    toolkit("run study.py beta=.1")
    closed = folder / "closed"
    closed.mkdir(mode=0o555)
    code = "import os, sys\n"
    if os.geteuid() == 0:  # whom no mode keeps out
        code += f"os.setuid({NOBODY})\n"
        for each in (folder, *folder.parents):
            if each.owner() == "root" and each.is_relative_to("/tmp"):
                each.chmod(each.stat().st_mode | 0o055)
    code += "sys.argv = ['toolkit', 'report', 'sir.zarr', '--output', 'closed/out.html']\n"
    code += "from toolkit.commands.reporting import report\n"
    code += "report.main(prog_name='report', args=sys.argv[2:])"
    loaded = f"import toolkit.cli, toolkit.views.report.page\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "closed/out.html cannot be written: Permission denied" in done.stderr
    assert list(closed.iterdir()) == []


def test_a_store_that_is_not_there_leaves_no_file(toolkit: Toolkit, folder: Path) -> None:
    assert "There is no store" in toolkit("report gone.zarr", code=2).stderr
    assert list(folder.glob("*.html")) == []
    assert list(folder.glob(".*")) == []


def test_a_file_that_is_no_store_is_an_error(toolkit: Toolkit, folder: Path) -> None:
    assert "a store is a folder" in toolkit("report study.py", code=2).stderr
    assert sorted(each.name for each in folder.iterdir()) == ["study.py"]


def test_two_stages_of_which_one_ended_early(toolkit: Toolkit, folder: Path) -> None:
    two_stages().run(progress=False)
    toolkit("report two.zarr")
    page = (folder / "two_report.html").read_text()
    assert "<h3>Stage base</h3>" in page
    assert "<h3>Stage fit</h3>" in page
    assert "<b>base: base</b>" in page
    assert "<b>fit: error</b>" in page
    assert "and 2 that need one of them were blocked" in page
    assert "2 cells that wait for a failed run" in page


def two_stages() -> tk.Sweep:
    @tk.stage(outputs=["base"])
    def base(beta: float) -> float:
        if beta > 2:
            raise ValueError("too much")
        return beta * 2

    @tk.stage(outputs=["error"])
    def fit(base: float, gamma: float) -> float:
        return base - gamma

    space = tk.grid(beta=[1.0, 2.0, 3.0], gamma=[1.0, 2.0])
    return tk.Sweep([base, fit], space, store="two.zarr")
