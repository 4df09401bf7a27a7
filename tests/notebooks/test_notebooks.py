"""The committed notebooks run, and their outputs are those of the code beside them."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.notebooks.executing import executed

pytest.importorskip("nbclient", reason="no Jupyter kernel")

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE_PATHS = ("/home/", "/root/", "/tmp/", "/Users/", "/var/", "C:\\", str(ROOT))
MOST_BYTES = 300_000
REMEDY = "make notebooks"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / ".ci/notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_of(notebook: "NotebookNode") -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


script = load_script()
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@each_notebook
def test_outputs_are_not_older_than_the_code(path: Path) -> None:
    notebook = script.read(path)
    assert notebook.metadata.toolkit.executed == script.code_hash(notebook), REMEDY
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), REMEDY


@each_notebook
def test_outputs_are_small_and_free_of_errors_and_machine_paths(path: Path) -> None:
    assert path.stat().st_size <= MOST_BYTES
    for cell in script.read(path).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert (output.output_type, output.get("name")) != ("stream", "stderr"), output.text
            texts = [output.get("text", "")]
            texts += [data for kind, data in output.get("data", {}).items() if kind != "image/png"]
            for text in texts:
                assert not [place for place in MACHINE_PATHS if place in text]


def test_both_notebooks_of_the_parcellations_have_the_same_study() -> None:
    here, on_slurm = (
        [cell for cell in script.read(path).cells if "%%writefile parcellation.py" in cell.source]
        for path in NOTEBOOKS
        if path.stem in ("03_brain_parcellation", "06_slurm")
    )
    assert len(here) == 1
    assert [cell.source for cell in here] == [cell.source for cell in on_slurm]


@pytest.mark.notebook
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slurm] if "slurm" in path.stem else [])
        for path in NOTEBOOKS
    ],
)
def test_it_runs_and_says_what_is_committed(path: Path) -> None:
    notebook = script.read(path)
    for package in ("torch", "sklearn"):
        if re.search(rf"^(import|from) {package}\b", code_of(notebook), re.MULTILINE):
            pytest.importorskip(package, reason=f"{path.stem} needs {package}")
    committed = script.results(notebook)
    found = executed(notebook, seconds=script.SECONDS_FOR_A_CELL)
    assert script.results(found) == committed, REMEDY
    for cell in found.cells:
        for output in cell.get("outputs", []):
            assert (output.output_type, output.get("name")) != ("stream", "stderr"), output.text


def test_numbers_of_a_result_may_differ_and_words_may_not() -> None:
    import nbformat

    def says(text: str) -> list[str]:
        output = nbformat.v4.new_output("stream", text=text)
        cell = nbformat.v4.new_code_cell("run()", outputs=[output])
        return script.results(nbformat.v4.new_notebook(cells=[cell]))

    assert says("3 done in 1.5e-05 s, 12kB") == says("7 done in 0.2 s, 3.1MB")
    assert says("1.0 2.0 ... nan") == says("nan nan 1e-3 ... 4.0")
    assert says("1.0 2e+01 ... x") == says("1.0 2e+... x") == says("1.0 -... x") == says("1.0 x")
    said = [says(f"float32 2kB {text} x") for text in ("nan 0.1 ...", "0.1 n...", "2.5e+...", "0....")]
    assert said == said[:1] * 4
    assert says("<Styler at 0x7fb02a7802d0>") == says("<Styler at 0x5d>") == says("<Styler>")
    assert says("3 done") != says("3 failed")
