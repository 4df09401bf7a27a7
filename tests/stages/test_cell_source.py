"""Functions of a notebook, whose cells are no files."""

import linecache

import pytest

import toolkit as tk
from toolkit.stages.cell_source import remember, sources_of

CELL = "/tmp/ipykernel_4711/{}.py"


@pytest.fixture
def cells(monkeypatch):
    """Define what a kernel would: each cell has a name, and its lines are known to linecache."""
    monkeypatch.setattr(linecache, "cache", dict(linecache.cache))
    names = {"__name__": "__main__"}

    def run(*texts):
        for at, text in enumerate(texts):
            file = CELL.format(at)
            linecache.cache[file] = len(text), None, text.splitlines(keepends=True), file
            exec(compile(text, file, "exec"), names)
        return names

    return run


HELPER = (
    "def check(x):\n    if x == 2:\n        raise ValueError('two is too many')\n    return x\n"
)
MODEL = "def model(x):\n    return check(x) + 1\n"


def test_cells_are_those_of_the_function_and_of_what_it_calls(cells):
    names = cells(HELPER, MODEL, "def other():\n    pass\n")
    assert sources_of(names["model"]) == ((CELL.format(1), MODEL), (CELL.format(0), HELPER))
    assert sources_of(names["check"]) == ((CELL.format(0), HELPER),)
    assert sources_of(test_cells_are_those_of_the_function_and_of_what_it_calls) == ()


def test_functions_that_call_each_other_are_gone_through_once(cells):
    text = "def even(x):\n    return x == 0 or odd(x - 1)\n\ndef odd(x):\n    return even(x - 1)\n"
    assert sources_of(cells(text)["even"]) == ((CELL.format(0), text),)


def test_too_much_text_is_left_out(cells, monkeypatch):
    monkeypatch.setattr("toolkit.stages.cell_source._MOST", len(MODEL) + 3)
    assert sources_of(cells(HELPER, MODEL)["model"]) == ((CELL.format(1), MODEL),)


def test_what_a_process_knows_already_stays(monkeypatch):
    monkeypatch.setattr(linecache, "cache", {})
    remember([("<ipython-input-1>", "a\n")])
    remember([("<ipython-input-1>", "b\n"), ("<ipython-input-2>", "c\n")])
    assert linecache.getline("<ipython-input-1>", 1) == "a\n"
    assert linecache.getline("<ipython-input-2>", 1) == "c\n"


def test_tracebacks_of_workers_show_the_lines_of_cells(cells):
    model = cells(HELPER, MODEL)["model"]
    with tk.cluster("local", workers=1, dashboard=None) as cluster:
        sweep = tk.Sweep(model, {"x": [1, 2, 3]})
        sweep.run(cluster, progress=False)
        [failed] = sweep.failures().to_dict("records")
    assert "    return check(x) + 1\n" in failed["traceback"]
    assert "raise ValueError('two is too many')" in failed["traceback"]
