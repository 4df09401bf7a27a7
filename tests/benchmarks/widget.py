"""What the widget costs the driver: pairs of a sweep of fast runs with it and without.

Run as ``python tests/benchmarks/widget.py``. A run takes 45 us. Both run in the kernel of a
notebook on a local cluster that is there before. CPU is that of the kernel's process, with its
threads: the driver, the scheduler of Dask, and what sends messages to the browser. A first pair,
which imports, is left out.
"""

import argparse
import json
import tempfile
from statistics import median

_PAIRS = """
import gc, json, time
import numpy as np
import toolkit as tk
from toolkit.views.widget.showing import view_of

def wave(x, y):
    until = time.perf_counter() + 45e-6
    while time.perf_counter() < until:
        pass
    return x * y

def once(number, with_widget):
    gc.collect()
    space = tk.grid(x=np.linspace(0, 1, {side}), y=np.linspace(0, 1, {side}))
    sweep = tk.Sweep(wave, space, store=f"{folder}/{{number}}-{{with_widget}}.zarr")
    cpu, wall = time.process_time(), time.perf_counter()
    job = sweep.start(cluster)
    if with_widget:
        view = view_of(job)
        view.show()
    data = job.result()
    if with_widget:
        view.finish()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert int(data.wave.notnull().sum()) == {side} ** 2
    told = view.widget.picture["version"] if with_widget else 0
    return {{"cpu": cpu, "wall": wall, "pictures": told}}

found = []
with tk.cluster("local") as cluster:
    for number in range({pairs} + 1):
        order = (True, False) if number % 2 else (False, True)
        pair = {{each: once(number, each) for each in order}}
        if number:
            found.append([pair[False], pair[True]])
print("FOUND", json.dumps(found))
"""


def measured(runs: int, pairs: int) -> list[list[dict[str, float]]]:
    """Return without and with the widget, pair by pair, from the kernel of a notebook."""
    import nbformat
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as folder:
        code = _PAIRS.format(side=round(runs**0.5), pairs=pairs, folder=folder)
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(notebook, timeout=3600, kernel_name="python3").execute()
    for output in notebook.cells[0].outputs:
        for line in output.get("text", "").splitlines():
            if line.startswith("FOUND "):
                return json.loads(line.removeprefix("FOUND "))  # type: ignore[no-any-return]
    raise RuntimeError(f"the kernel said nothing of the pairs: {notebook.cells[0].outputs}")


def main() -> None:
    """Measure, and print each pair and the median of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    print(f"{options.runs:,} fast runs; CPU of the driver in seconds")
    print(f"{'without':>9} {'with':>9} {'ratio':>7} {'wall':>7} {'pictures':>9}")
    ratios = []
    for without, with_it in measured(options.runs, options.pairs):
        ratios.append(with_it["cpu"] / without["cpu"])
        print(
            f"{without['cpu']:9.3f} {with_it['cpu']:9.3f} {ratios[-1]:7.3f} {with_it['wall']:7.2f} "
            f"{with_it['pictures']:9.0f}"
        )
    print(f"median ratio {median(ratios):.3f}")


if __name__ == "__main__":
    main()
