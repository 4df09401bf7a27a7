"""The widget of a sweep in JupyterLab: alive while other cells run, and in a saved notebook."""

import json
import re
from typing import TYPE_CHECKING, Any

from tests.browser.conftest import Open, Picture
from tests.browser.laboratory import Laboratory
from tests.browser.notebook import RUN_MS, Notebook
from tests.browser.studies import FAILED, OUTBREAK, RUNS, SPACE

if TYPE_CHECKING:
    from playwright.sync_api import Locator

START = "job = sweep.start()\njob"
BUSY = """import os
while not os.path.exists("enough"):
    time.sleep(.02)"""
TOLD = """import json
data = job.result(240)
told = {status.name.lower(): int((data.status == status).sum()) for status in tk.Status}
print(json.dumps(told))"""
SLOW = 0.003  # seconds that each run waits: the sweep then takes some
SLOWER = 0.05

SHY = """from pathlib import Path

def shy(x, folder):
    if x >= 10 and not (Path(folder) / "mended").exists():
        raise RuntimeError("not yet")
    return x

tk.Sweep(shy, tk.grid(x=range(30), folder=str(Path.cwd()))).start()"""

ENDED = re.compile(r"([\d,]+)(?: of [\d,]+)? (done|failed|blocked|stale)")
WIDGET = ".tk-widget"


def ended_in(widget: "Locator") -> dict[str, int]:
    """Return the runs that have ended by state, as the widget tells them."""
    text = widget.locator(".tk-counts").inner_text()
    found = {state: int(number.replace(",", "")) for number, state in ENDED.findall(text)}
    assert "done" in found, text
    return found


def wait_for_more(notebook: Notebook, than: int) -> None:
    """Wait until the widget tells more runs that are done."""
    script = """than => {
      const text = document.querySelector(".tk-counts").textContent;
      return Number(text.split(" ")[0].replaceAll(",", "")) > than;
    }"""
    notebook.page.wait_for_function(script, arg=than, timeout=RUN_MS)


def wait_for_state(notebook: Notebook, state: str) -> None:
    notebook.page.wait_for_selector(f"{WIDGET}[data-state={state}]", timeout=RUN_MS)


def is_running(notebook: Notebook, cell: int) -> bool:
    return "*" in notebook.cell(cell).locator(".jp-InputPrompt").first.inner_text()


def told_by(notebook: Notebook, cell: int) -> dict[str, Any]:
    """Return the JSON that a cell has printed, without what is zero."""
    told = json.loads(notebook.output(cell).inner_text())
    return {state: number for state, number in told.items() if number}


def colors_of(canvas: "Locator") -> int:
    """Return how many colors there are in a picture."""
    script = """canvas => {
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }"""
    return int(canvas.evaluate(script))


def when_still(notebook: Notebook, widget: "Locator") -> dict[str, int]:
    """Return the runs that have ended, once none has for three seconds: what was sent has ended."""
    for _ in range(10):
        before = ended_in(widget)
        notebook.page.wait_for_timeout(3000)
        if (now := ended_in(widget)) == before:
            return now
    raise AssertionError(f"runs go on ending: {before}, then {now}")


def share_in(canvas: "Locator", color: tuple[int, int, int]) -> float:
    """Return which part of a picture has a color."""
    script = """(canvas, [r, g, b]) => {
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let found = 0;
      for (let i = 0; i < data.length; i += 4) {
        if (data[i] === r && data[i + 1] === g && data[i + 2] === b) found++;
      }
      return found / (data.length / 4);
    }"""
    return float(canvas.evaluate(script, list(color)))


def test_the_widget_follows_a_sweep_while_another_cell_runs(
    open_notebook: Open, picture: Picture, laboratory: Laboratory
) -> None:
    space = SPACE.format(pause=SLOW, store="followed.zarr")
    notebook = open_notebook([OUTBREAK, space, START, BUSY, TOLD])
    page = notebook.page
    notebook.run_all(wait=False)
    widget = page.locator(WIDGET)
    widget.wait_for(timeout=RUN_MS)

    before = ended_in(widget)["done"]
    wait_for_more(notebook, before)
    assert is_running(notebook, 3)

    canvas = widget.locator("canvas.tk-map")
    page.wait_for_selector("canvas.tk-map[data-kind=map][data-output=peak]")
    widget.locator("select[data-role=output]").select_option("duration")
    page.wait_for_selector("canvas.tk-map[data-kind=map][data-output=duration]")
    assert is_running(notebook, 3), "the second map was drawn only after the other cell"
    wait_for_more(notebook, ended_in(widget)["done"])
    assert is_running(notebook, 3)

    failure = widget.locator("details.tk-failure")
    failure.first.wait_for(timeout=RUN_MS)
    failure.locator("summary").click()
    traceback = failure.locator(".tk-traceback")
    traceback.wait_for()
    assert "line 15, in outbreak" in traceback.inner_text()
    assert "more than are met" in traceback.inner_text()
    failure.locator("button[data-action=copy]").click()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied.startswith("sweep.reproduce("), copied
    wait_for_more(notebook, RUNS // 3)
    picture(notebook.cell(2), "widget_light")

    (laboratory.root / "enough").touch()
    notebook.wait_for()
    wait_for_state(notebook, "done")
    assert told_by(notebook, 4) == {"done": RUNS - FAILED, "failed": FAILED} == ended_in(widget)
    assert traceback.is_visible(), "what was opened stays open"
    assert colors_of(canvas) > 30
    assert share_in(canvas, (0xD5, 0x5E, 0x00)) > 0.5 * FAILED / RUNS
    note = widget.locator(".tk-note").inner_text()
    assert note.endswith(f"{FAILED // 2} failed"), note
    for width in (1400, 700):
        picture(notebook.cell(2), f"widget_end_light_{width}", width=width, keep=False)


def test_cancel_cancels_and_the_counts_are_those_of_the_dataset(
    open_notebook: Open, picture: Picture
) -> None:
    space = SPACE.format(pause=SLOWER, store="cancelled.zarr")
    told = TOLD.replace("job.result(240)", "sweep.dataset()")
    notebook = open_notebook([OUTBREAK, space, START, told], theme="dark")
    page = notebook.page
    for cell in range(3):
        notebook.run(cell)
    widget = page.locator(WIDGET)
    wait_for_state(notebook, "running")
    page.wait_for_selector("canvas.tk-map[data-kind=map]")
    wait_for_more(notebook, RUNS // 16)
    for width in (1400, 700):
        picture(notebook.cell(2), f"widget_running_dark_{width}", width=width, keep=False)
    picture(notebook.cell(2), "widget_dark")

    widget.locator("button[data-action=cancel]").click()
    wait_for_state(notebook, "cancelled")
    assert widget.locator("button[data-action=cancel]").is_hidden()
    ended = ended_in(widget)
    assert sum(ended.values()) < RUNS
    notebook.run(3)
    stored = told_by(notebook, 3)
    assert stored.pop("pending") == RUNS - sum(ended.values())
    assert stored == ended == ended_in(widget)


def test_the_mouse_and_the_buttons_pause_focus_resume_and_retry(
    open_notebook: Open, laboratory: Laboratory
) -> None:
    space = SPACE.format(pause=SLOWER, store="steered.zarr")
    notebook = open_notebook([OUTBREAK, space, START, SHY])
    page = notebook.page
    for cell in range(3):
        notebook.run(cell)
    widget = page.locator(WIDGET)
    wait_for_state(notebook, "running")
    page.wait_for_selector("canvas.tk-map[data-kind=map][data-output=peak]")
    widget.locator("button[data-action=pause]").click()
    wait_for_state(notebook, "paused")
    paused = when_still(notebook, widget)
    assert sum(paused.values()) < RUNS / 8

    canvas = widget.locator("canvas.tk-map")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    across, down = (box["x"], box["width"]), (box["y"], box["height"])
    page.mouse.move(across[0] + 0.5 * across[1], down[0] + 0.3 * down[1])
    page.mouse.down()
    page.mouse.move(across[0] + 0.7 * across[1], down[0] + 0.6 * down[1], steps=5)
    page.mouse.up()
    said = widget.locator(".tk-said")
    said.filter(has_text="come first").wait_for()
    assert re.search(r"Runs with beta from 0\.\d+ to 0\.\d+ and gamma from", said.inner_text())

    widget.locator("button[data-action=resume]").click()
    wait_for_state(notebook, "running")
    wait_for_more(notebook, sum(paused.values()) + 20)
    said.locator("button[data-action=unfocus]").click()
    said.filter(has_text="come first").wait_for(state="detached")
    widget.locator("button[data-action=cancel]").click()
    wait_for_state(notebook, "cancelled")

    notebook.run(3)
    widget = notebook.cell(3).locator(WIDGET)
    failure = widget.locator("details.tk-failure")
    failure.wait_for()
    assert ended_in(widget)["failed"] == 20
    (laboratory.root / "mended").touch()
    widget.locator("button[data-action=retry]").click()
    widget.locator(".tk-counts", has_text=re.compile(r"^30\b")).wait_for(timeout=RUN_MS)
    assert ended_in(widget) == {"done": 30}
    assert failure.count() == 0


def test_a_saved_notebook_shows_how_the_sweep_ended_without_its_kernel(
    open_notebook: Open, picture: Picture, laboratory: Laboratory
) -> None:
    space = SPACE.format(pause=0, store="saved.zarr")
    notebook = open_notebook([OUTBREAK, space, START, TOLD])
    page = notebook.page
    notebook.run_all()
    wait_for_state(notebook, "done")
    saved = notebook.save()
    page.goto("about:blank")
    laboratory.end_kernels()

    page.goto(laboratory.address(saved.name))
    notebook.wait_until_open()
    assert page.locator(WIDGET).count() == 0
    still = page.locator(".tk-still")
    still.wait_for()
    text = still.inner_text()
    assert f"{RUNS - FAILED:,}" in text
    assert f"{FAILED:,}" in text
    assert "infected at the peak" in text
    assert still.locator("svg image").count() >= 1
    assert still.locator("script").count() == 0
    unknown = page.locator(".jupyter-widgets", has_text="model not found")
    unknown.wait_for(state="attached")
    assert unknown.is_hidden(), "what JupyterLab says of the lost widget takes its place"
    for width in (1400, 700):
        picture(notebook.cell(2), f"widget_saved_light_{width}", width=width, keep=False)
