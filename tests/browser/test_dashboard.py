"""The pages of Dask's dashboard, as a browser beside the cluster shows them."""

import json
import re
from typing import Literal

from tests.browser.conftest import Open, Picture
from tests.browser.notebook import RUN_MS
from tests.browser.studies import FAILED, OUTBREAK, RUNS, SPACE

CLUSTER = """cluster = tk.cluster("local", workers=2)
job = sweep.start(cluster)
print(job.dashboard_link)"""
LINK = """data = job.result(240)
print(job.page_link)"""
# What a shell would print, from the store alone.
STATUS = """import subprocess, sys
command = [sys.executable, "-m", "toolkit", "status", "--json", "paged.zarr"]
print(subprocess.check_output(command, text=True))"""
GROUNDS: dict[Literal["light", "dark"], str] = {"light": "#ffffff", "dark": "#181818"}
IS_PAINTED = """ground => {
  const number = parseInt(ground.slice(1), 16);
  const parts = [number >> 16, (number >> 8) & 255, number & 255];
  const figures = Bokeh.documents[0].roots().filter((each) => each.background_fill_color);
  return getComputedStyle(document.body).backgroundColor === `rgb(${parts.join(", ")})`
    && figures.length === 2 && figures.every((each) => each.background_fill_color === ground);
}"""


def test_the_page_of_sweeps_on_the_dashboard_and_in_the_list_of_jupyterlab(
    open_notebook: Open, picture: Picture
) -> None:
    space = SPACE.format(pause=0.002, store="paged.zarr")
    notebook = open_notebook([OUTBREAK, space, CLUSTER, LINK, STATUS, "cluster.close()"])
    lab = notebook.page
    for cell in range(3):
        notebook.run(cell)
    dashboard = notebook.output(2).inner_text().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/status", dashboard)

    lab.evaluate("() => window.jupyterapp.shell.activateById('dask-dashboard-launcher')")
    asked = lab.locator(".dask-URLInput input")
    asked.fill(dashboard)
    asked.press("Enter")
    listed = lab.locator(".dask-DashboardListing-item", has_text="Sweep")
    listed.first.wait_for(timeout=RUN_MS)
    assert [text.lower() for text in listed.all_inner_texts()] == ["sweep"]

    page = lab.context.new_page()
    page.goto(dashboard)
    page.wait_for_selector(".bk-Canvas", state="attached")
    assert page.title() == "Dask: Status"

    lab.bring_to_front()
    notebook.run(3)
    notebook.run(4)
    link = notebook.output(3).inner_text().strip()
    page.goto(link)
    page.bring_to_front()
    page.wait_for_selector(f"text={RUNS:,} of {RUNS:,} runs have ended", timeout=RUN_MS)
    page.wait_for_selector("text=States of the runs")
    ended = {"done": RUNS - FAILED, "failed": FAILED}
    for state, number in ended.items():
        page.wait_for_selector(f"text={number:,} {state}")

    document = page.request.get(link.replace("/individual-sweep", "/sweep/status.json")).json()
    stored = json.loads(notebook.output(4).inner_text())
    for told in (document["counts"], stored["total"]):
        assert {name: told[name] for name in (*ended, "pending")} == {**ended, "pending": 0}

    traceback = page.locator("pre", has_text="more than are met")
    assert not traceback.is_visible()
    page.locator("button", has_text="OverflowError").click()
    traceback.wait_for()
    for theme, ground in GROUNDS.items():
        page.emulate_media(color_scheme=theme)
        page.wait_for_function(IS_PAINTED, arg=ground)
        for width in (1400, 700):
            picture(page, f"page_{theme}_{width}", width=width, keep=False, full_page=True)
            wide = page.evaluate("() => document.documentElement.scrollWidth")
            assert wide <= width, "the page is wider than the window"
    page.close()
    lab.bring_to_front()
    notebook.run(5)
