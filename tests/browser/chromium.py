"""Chromium as the tests start it: without a screen, and with nothing to ask of its makers."""

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

CLOSED = "http://127.0.0.1:9"  # nobody listens there

# Root needs --no-sandbox; the others keep Chromium from asking its makers for anything.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    f"--autofill-server-url={CLOSED}/",
    f"--gaia-url={CLOSED}",
    f"--component-updater=url-source={CLOSED}/",
    "--force-color-profile=srgb",
)


def launch(playwright: "Playwright", proxy: str) -> "Browser":
    """Start Debian's Chromium, which hands all requests but those to loopback to a proxy."""
    # Not by playwright's own option, which has loopback go through the proxy as well.
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"), args=[*ARGUMENTS, f"--proxy-server={proxy}"]
    )
