"""Executes notebooks in a process of its own.

nbclient talks to a kernel by ZeroMQ from several threads, and sockets that the garbage collector closes later
from another one end the process; the process of the tests is not to be that one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbformat import NotebookNode

_CODE = """
import sys
import nbformat
from nbclient import NotebookClient
path, folder, seconds = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
NotebookClient(
    notebook,
    timeout=int(seconds),
    kernel_name="python3",
    record_timing=False,
    resources={"metadata": {"path": folder}},
).execute()
nbformat.write(notebook, path)
"""


def executed(notebook: "NotebookNode", folder: Path | None = None, *, seconds: int = 240) -> "NotebookNode":
    """Return a notebook with what a fresh kernel made of it; raises where a cell does.

    Parameters
    ----------
    notebook
        Its cells.
    folder
        In which the kernel runs; None: one that is gone afterwards.
    seconds
        For a cell.
    """
    import nbformat

    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "notebook.ipynb"
        inside = folder or Path(place) / "kernel"
        inside.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
        done = subprocess.run(
            [sys.executable, "-c", _CODE, str(path), str(inside), str(seconds)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-6000:]
        return nbformat.read(path, as_version=4)
