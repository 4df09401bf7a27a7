"""JupyterLab shows what this package says of itself, with nothing from the internet."""

import pytest

from tests.browser.conftest import Open, Picture

SWEEP = """import toolkit as tk

def peak(beta, gamma):
    if beta < gamma:
        raise ValueError("the outbreak dies out")
    return beta / gamma

space = tk.grid(beta=[.1, .2, .3, .4], gamma=[.15, .25])
sweep = tk.Sweep(peak, space)
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_sweep_runs_and_its_parts_show_themselves(
    open_notebook: Open, picture: Picture, theme: str
) -> None:
    notebook = open_notebook(
        [SWEEP, "sweep.run()", "space", "sweep", "sweep.explain()"], theme=theme
    )
    notebook.run_all()
    dark = notebook.page.evaluate("() => document.body.dataset.jpThemeLight === 'false'")
    assert dark == (theme == "dark")
    for cell, words in (
        (1, ["peak", "beta", "gamma", "status"]),
        (2, ["Space", "beta", "8 runs"]),
        (3, ["Sweep", "peak"]),
        (4, ["Plan"]),
    ):
        html = notebook.output(cell).locator(".jp-RenderedHTMLCommon")
        text = html.last.inner_text()
        for word in words:
            assert word in text, (cell, text)
    assert notebook.page.locator(".jp-OutputArea script").count() == 0
    cells = notebook.page.locator(".tk-view td")
    look = "cells => [...new Set(cells.map(cell => getComputedStyle(cell).textAlign))]"
    assert cells.evaluate_all(look) == ["left"]
    for width in (1400, 700):
        picture(notebook.page, f"reprs_{theme}_{width}", width=width, keep=False)


def test_an_error_in_a_cell_is_an_error_of_the_test(open_notebook: Open) -> None:
    notebook = open_notebook(["1 + 1", "raise RuntimeError('a cell that fails')"])
    with pytest.raises(AssertionError, match="a cell that fails"):
        notebook.run_all()
