"""A browser, a JupyterLab server, and proof that neither asked anything of another machine."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.browser.chromium import launch
from tests.browser.doorkeeper import Doorkeeper
from tests.browser.laboratory import Laboratory
from tests.browser.notebook import WAIT_MS, Notebook, write

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Playwright

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "docs" / "images"
HEIGHT = 1000
LOOPBACK = re.compile(r"localhost|127(\.\d+){3}|::1")

# What JupyterLab shows of the cell that has its attention is left out of pictures.
_STYLE = ".jp-cell-toolbar, .jp-Collapser { visibility: hidden }"

Open = Callable[..., Notebook]
Picture = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("browser")


@pytest.fixture(scope="session")
def doorkeeper() -> Iterator[Doorkeeper]:
    """Refuse what goes to other machines, and list it."""
    with Doorkeeper().on_duty() as doorkeeper:
        yield doorkeeper


@pytest.fixture(scope="session")
def laboratory(
    tmp_path_factory: pytest.TempPathFactory, doorkeeper: Doorkeeper
) -> Iterator[Laboratory]:
    """Serve JupyterLab for all tests."""
    folder = tmp_path_factory.mktemp("laboratory")
    with Laboratory(folder, proxy=doorkeeper.address).open() as laboratory:
        yield laboratory


@pytest.fixture(scope="module")
def playwright() -> Iterator["Playwright"]:
    # Of a module: as long as it is there, this thread has an event loop that others stumble over.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def browser(playwright: "Playwright", doorkeeper: Doorkeeper) -> Iterator["Browser"]:
    """Start Chromium, which hands all but loopback to the doorkeeper."""
    browser = launch(playwright, doorkeeper.address)
    yield browser
    browser.close()


@pytest.fixture
def elsewhere(doorkeeper: Doorkeeper) -> Iterator[list[str]]:
    """List what this test asked of other machines, which has to be nothing."""
    del doorkeeper.refused[:]
    asked: list[str] = []
    yield asked
    assert [*asked, *doorkeeper.refused] == []


@pytest.fixture
def page(
    browser: "Browser", elsewhere: list[str], request: pytest.FixtureRequest
) -> Iterator["Page"]:
    """Open a page; ``@pytest.mark.parametrize("theme", …)`` decides whether it is dark."""
    theme = getattr(request.node, "callspec", None)
    dark = theme is not None and theme.params.get("theme") == "dark"
    context = browser.new_context(
        viewport={"width": 1400, "height": HEIGHT},
        color_scheme="dark" if dark else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(WAIT_MS)
    said: list[str] = []

    def hear(message: "ConsoleMessage") -> None:
        if message.type == "error":
            said.append(message.text)

    def watch(opened: "Page") -> None:
        opened.on("websocket", lambda socket: _note(socket.url, elsewhere))
        opened.on("console", hear)
        opened.on("pageerror", lambda error: said.append(f"uncaught: {error}"))

    context.on("request", lambda asked: _note(asked.url, elsewhere))
    context.on("page", watch)
    page = context.new_page()
    yield page
    request.node.add_report_section("teardown", "browser console", "\n".join(said))
    if (outputs := page.locator(".jp-OutputArea")).count():
        text = "\n".join(outputs.all_inner_texts())
        request.node.add_report_section("teardown", "outputs of the notebook", text)
    context.close()


def _note(address: str, elsewhere: list[str]) -> None:
    parts = urlsplit(address)
    if parts.hostname is not None and not LOOPBACK.fullmatch(parts.hostname):
        elsewhere.append(address)


@pytest.fixture
def open_notebook(laboratory: Laboratory, page: "Page") -> Iterator[Open]:
    """Open a notebook with these cells in JupyterLab; its kernel ends with the test."""
    names = (laboratory.root / f"notebook{number}.ipynb" for number in count())

    def open_notebook(cells: Sequence[str] | Path, *, theme: str = "light") -> Notebook:
        path = next(name for name in names if not name.exists())
        if isinstance(cells, Path):
            shutil.copy(cells, path)
        else:
            write(path, cells)
        laboratory.set_theme(theme)
        notebook = Notebook(page, path)
        page.goto(laboratory.address(path.name))
        notebook.wait_until_open()
        return notebook

    yield open_notebook
    page.goto("about:blank")  # a page whose kernel is gone asks what to do
    laboratory.end_kernels()


@pytest.fixture
def picture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Picture:
    """Take a picture: to docs/images with ``--pictures``, else to the folder of temporary files."""
    keeps = request.config.getoption("--pictures")
    folder = tmp_path_factory.getbasetemp() / "pictures"
    folder.mkdir(exist_ok=True)

    def picture(
        of: "Page | Locator", name: str, *, width: int = 1400, keep: bool = True, **given: Any
    ) -> Path:
        path = (IMAGES if keeps and keep else folder) / f"{name}.png"
        shown = getattr(of, "page", of)
        shown.bring_to_front()
        shown.set_viewport_size({"width": width, "height": HEIGHT})
        shown.wait_for_function("() => document.fonts.status === 'loaded'")
        of.screenshot(path=path, animations="disabled", style=_STYLE, **given)
        return path

    return picture
