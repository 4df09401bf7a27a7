"""A notebook that is open in JupyterLab, in a browser."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

WAIT_MS = 60_000
RUN_MS = 120_000  # what a cell may take: a cluster starts in it, on a machine with other work

_OPEN = """() => {
  const panel = window.jupyterapp?.shell.currentWidget;
  return panel?.context?.isReady && panel.sessionContext?.session?.kernel?.status === "idle"
}"""
_CLEAR = """() => {
  const shell = window.jupyterapp.shell;
  shell.collapseLeft();
  shell.collapseRight();
}"""
_COMMAND = """async ([name, given]) => {
  await window.jupyterapp.restored;
  window.jupyterapp.commands.execute(name, given);
}"""
# Whether all cells up to one of them, -1: all, were executed; a cell that runs shows [*].
_EXECUTED = """last => {
  const cells = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell")];
  const asked = last < 0 ? cells : cells.slice(0, last + 1);
  return asked.every(cell => /\\[\\d+\\]/.test(cell.querySelector(".jp-InputPrompt").textContent))
}"""
_ERRORS = """last => {
  const cells = window.jupyterapp.shell.currentWidget.content.widgets;
  const asked = last < 0 ? cells : cells.slice(0, last + 1);
  return asked.flatMap(cell => cell.model.outputs?.toJSON() ?? [])
    .filter(output => output.output_type === "error")
    .map(output => output.traceback.join("\\n"));
}"""
_SAVED = "() => window.jupyterapp.shell.currentWidget.context.model.dirty === false"
_FINGER = """() => {
  const notebook = window.jupyterapp.shell.currentWidget.content;
  notebook.deselectAll();
  notebook.activeCellIndex = %d;
}"""


class Notebook:
    """What a person does in an open notebook, and what they see."""

    def __init__(self, page: "Page", path: Path) -> None:
        self.page = page
        self.path = path

    def wait_until_open(self) -> None:
        """Wait for its cells, and for a kernel that has nothing to do."""
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", state="attached", timeout=RUN_MS)
        self.page.wait_for_function(_OPEN, timeout=RUN_MS)
        self.page.evaluate(_CLEAR)

    def command(self, name: str, **given: Any) -> None:
        """Give JupyterLab a command; what it does may go on afterwards."""
        self.page.evaluate(_COMMAND, [name, given])

    def run_all(self, *, wait: bool = True) -> None:
        """Run all cells; an error in one of them is an error here."""
        self.command("notebook:run-all-cells")
        if wait:
            self.wait_for()

    def run(self, cell: int, *, wait: bool = True) -> None:
        """Run one cell, counted from 0."""
        self.page.evaluate(_FINGER % cell)
        self.command("notebook:run-cell")
        if wait:
            self.wait_for(cell)

    def wait_for(self, last: int = -1) -> None:
        """Wait until the cells up to this one have run."""
        self.page.wait_for_function(_EXECUTED, arg=last, timeout=RUN_MS)
        errors = self.page.evaluate(_ERRORS, last)
        assert not errors, "\n\n".join(errors)

    def cell(self, index: int) -> "Locator":
        """Return a code cell, counted from 0."""
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(index)

    def output(self, index: int) -> "Locator":
        """Return what stands below a code cell."""
        return self.cell(index).locator(".jp-OutputArea")

    def save(self) -> Path:
        """Save it, and return where."""
        self.command("docmanager:save")
        self.page.wait_for_function(_SAVED, timeout=WAIT_MS)
        return self.path


def write(path: Path, cells: Sequence[str]) -> Path:
    """Write a notebook with these cells of code, which nobody has run."""
    import nbformat

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(notebook, path)
    return path
