"""How soon a sweep is seen: from ``sweep.start(client)`` to the first map in a browser.

Run as ``python tests/benchmarks/first_map.py``. A million runs that take next to no time, on a
local cluster that is there before; JupyterLab and Chromium as in the tests. The first sweep of a
kernel imports what the later ones find there. ``counts`` and ``map`` are seconds from the call
until the page has the widget, and a map with the first values in it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.browser.chromium import launch
from tests.browser.doorkeeper import Doorkeeper
from tests.browser.laboratory import Laboratory
from tests.browser.notebook import RUN_MS, Notebook, write

_CLUSTER = """import time
import numpy as np
import toolkit as tk

def wave(x, y):
    return x * y

cluster = tk.cluster("local")
client = cluster.client
space = tk.grid(x=np.linspace(0, 1, {side}), y=np.linspace(0, 1, {side}))
sweeps = [tk.Sweep(wave, space, store=f"{{number}}.zarr") for number in range({sweeps})]"""
_START = """began = time.time()
job = sweeps[{number}].start(client)
job"""
_TOLD = "import json; job.result(); print(json.dumps(began))"
_WATCH = """number => {
  const seen = window.seen = {};
  const look = () => {
    const shown = document.querySelectorAll(".tk-widget")[number];
    if (shown?.querySelector(".tk-counts").textContent) seen.counts ??= Date.now() / 1000;
    const map = shown?.querySelector("canvas.tk-map[data-version]");
    const note = shown?.querySelector(".tk-note").textContent;
    if (map && note && !note.includes("have a value yet")) seen.map ??= Date.now() / 1000;
    if (!seen.map) requestAnimationFrame(look);
  };
  look();
}"""


def measured(runs: int, sweeps: int) -> list[dict[str, float]]:
    """Return the seconds until counts and map were seen, sweep by sweep."""
    from playwright.sync_api import sync_playwright

    cells = [_CLUSTER.format(side=round(runs**0.5), sweeps=sweeps)]
    for number in range(sweeps):
        cells += [_START.format(number=number), _TOLD]
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Doorkeeper().on_duty() as doorkeeper,
        Laboratory(Path(folder) / "lab", proxy=doorkeeper.address).open() as laboratory,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright, doorkeeper.address)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        notebook = Notebook(page, write(laboratory.root / "first_map.ipynb", cells))
        page.goto(laboratory.address(notebook.path.name))
        notebook.wait_until_open()
        notebook.run(0)
        for number in range(sweeps):
            page.evaluate(_WATCH, number)
            notebook.run(1 + 2 * number, wait=False)
            page.wait_for_function("() => window.seen.map", timeout=RUN_MS)
            seen = page.evaluate("() => window.seen")
            notebook.run(2 + 2 * number)
            began = json.loads(notebook.output(2 + 2 * number).inner_text())
            found.append({name: at - began for name, at in seen.items()})
        browser.close()
    return found


def main() -> None:
    """Measure, and print each sweep and the medians of all but the first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--sweeps", type=int, default=6)
    options = parser.parse_args()
    print(f"{options.runs:,} fast runs; seconds from sweep.start(client)")
    print(f"{'counts':>8} {'map':>8}")
    rows = measured(options.runs, options.sweeps)
    for row in rows:
        print(f"{row['counts']:8.2f} {row['map']:8.2f}")
    later = rows[1:] or rows
    print(f"median of {len(later)}: map {median(row['map'] for row in later):.2f}")


if __name__ == "__main__":
    main()
