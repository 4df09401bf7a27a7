"""The widget in the kernel of a notebook, and what the notebook keeps of it."""

from typing import Any

import pytest

from tests.notebooks.executing import executed

pytestmark = pytest.mark.notebook

VIEW = "application/vnd.jupyter.widget-view+json"

SWEEP = """
import time
import toolkit as tk

def peak(beta, gamma):
    time.sleep(.004)
    if beta > 8 and gamma > 8:
        raise ValueError("too steep")
    return beta + gamma

sweep = tk.Sweep(peak, tk.grid(beta=range(20), gamma=range(20)))
"""


def outputs_of(cells: list[str]) -> list[list[Any]]:
    """Return the outputs of each cell, as the saved notebook has them."""
    nbformat = pytest.importorskip("nbformat", reason="no nbformat. To add: the notebook extra")
    pytest.importorskip("nbclient", reason="no nbclient. To add: the notebook extra")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "", "language": "python"}},
    )
    return [cell.outputs for cell in executed(notebook, seconds=180).cells]


def data_of(outputs: list[Any]) -> list[dict[str, Any]]:
    return [each.data for each in outputs if "data" in each]


def test_a_job_shows_itself_and_its_end_stays_as_html() -> None:
    _, shown, _ = outputs_of(
        [SWEEP, "job = sweep.start()\njob", "job.result(60)\njob.shown.finish()"]
    )
    widget, still = data_of(shown)
    assert VIEW in widget
    html = still["text/html"]
    assert "<script" not in html
    assert "too steep" in html
    assert "data:image/png" in html
    assert "gamma" in html


def test_a_run_shows_the_widget_once_and_nothing_else_of_its_progress() -> None:
    _, shown = outputs_of([SWEEP, "data = sweep.run()"])
    assert [sorted(each) for each in data_of(shown)] == [
        [VIEW, "text/plain"],
        ["text/html", "text/plain"],
    ]
    assert [each for each in shown if each.output_type == "stream"] == []
    assert "data:image/png" in data_of(shown)[1]["text/html"]


def test_without_anywidget_a_job_says_what_is_missing() -> None:
    hidden = "import sys\nsys.modules['anywidget'] = None\n"
    hide = (
        "import importlib.util\n_find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: "
        "None if name == 'anywidget' else _find(name, *more)\n"
    )
    _, shown = outputs_of([hidden + hide + SWEEP, "job = sweep.start()\njob\n"])
    [only] = data_of(shown)
    assert "notebook" in only["text/html"]
    assert "install" in only["text/html"]
    assert VIEW not in only
