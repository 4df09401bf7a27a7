"""The report of a store is a file that a browser shows by itself."""

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Picture
from tests.browser.studies import FAILED, RUNS, script

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the report of an outbreak of which some runs failed."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "outbreak.py").write_text(script("outbreak.zarr"))
    for arguments, code in (
        (["run", "outbreak.py:sweep"], 1),
        (["report", "outbreak.zarr", "--output", "outbreak.html"], 0),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "toolkit", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr
    return folder / "outbreak.html"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_report_opens_as_a_file(
    report: Path, page: "Page", picture: Picture, theme: str
) -> None:
    page.goto(report.as_uri())
    text = page.locator("body").inner_text()
    assert f"{RUNS:,}" in text
    assert f"{FAILED:,}" in text
    assert "OverflowError" in text
    for image in page.locator("img").all():
        assert image.evaluate("image => image.naturalWidth") > 100
    assert page.locator("script").count() == 0
    assert page.locator("img, svg").count() > 0
    traceback = page.locator("details", has_text="OverflowError").last
    traceback.locator("summary").first.click()
    assert traceback.locator("text=more than are met").first.is_visible()
    for width in (1400, 700):
        taken = picture(page, f"report_{theme}_{width}", width=width, keep=False, full_page=True)
        assert taken.stat().st_size > 20_000
        wide = page.evaluate("() => document.documentElement.scrollWidth")
        assert wide <= width, "the page is wider than the window"
