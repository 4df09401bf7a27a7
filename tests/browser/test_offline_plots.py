"""``data.hvplot`` draws in a notebook whose browser reaches no other machine."""

from importlib.util import find_spec

import pytest

from tests.browser.conftest import Open, Picture

OFFLINE = "import toolkit as tk\ntk.plot.setup_offline()"
SWEEP = """def peak(beta, gamma):
    return beta / gamma

space = tk.grid(beta=[.1, .2, .3, .4], gamma=[.15, .2, .25])
data = tk.Sweep(peak, space).run()"""
PLOT = "data.peak.hvplot()"
# The colors of what is drawn, the most frequent first.
COLORS = """canvas => {
  const context = canvas.getContext("2d");
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Map();
  for (let i = 0; i < data.length; i += 4) {
    const color = data.slice(i, i + 4).join();
    seen.set(color, (seen.get(color) ?? 0) + 1);
  }
  return [...seen].filter(each => each[1] > 500).map(each => each[0]);
}"""


@pytest.mark.skipif(find_spec("hvplot") is None, reason="no hvplot")
def test_hvplot_draws_with_nothing_from_the_internet(open_notebook: Open, picture: Picture) -> None:
    notebook = open_notebook([OFFLINE, SWEEP, PLOT])
    notebook.run_all()
    canvas = notebook.output(2).locator("canvas").first
    canvas.wait_for()
    colors = canvas.evaluate(COLORS)
    assert len(colors) > 8, colors
    picture(notebook.page, "hvplot", keep=False)
