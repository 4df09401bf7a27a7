"""What a page asks of another machine is refused and counted, whatever way it asks."""

from typing import TYPE_CHECKING

from tests.browser.doorkeeper import Doorkeeper

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Addresses and names that are reserved for examples: nobody is there.
ASKS = """async () => {
  const quiet = promise => promise.catch(() => null);
  await quiet(fetch("https://fetched.example/data.json"));
  await quiet(fetch("http://192.0.2.7/by-number"));
  await quiet(import("https://imported.example/module.js"));
  await new Promise(done => {
    const socket = new WebSocket("wss://socket.example/live");
    socket.onerror = socket.onclose = done;
  });
  await new Promise(done => {
    const style = document.createElement("style");
    style.textContent = '@import "https://styled.example/sheet.css";';
    document.head.append(style);
    const image = new Image();
    image.onerror = done;
    image.src = "https://pictured.example/picture.png";
  });
  const worker = URL.createObjectURL(new Blob([
    "fetch('https://worker.example/').catch(() => null).then(() => postMessage(1))"
  ]));
  await new Promise(done => { new Worker(worker).onmessage = done; });
}"""
NAMES = ("fetched", "imported", "socket", "styled", "pictured", "worker")


def test_requests_to_other_machines_are_refused_and_counted(
    page: "Page", doorkeeper: Doorkeeper, elsewhere: list[str]
) -> None:
    page.goto("data:text/html,<p>a page</p>")
    page.evaluate(ASKS)
    page.wait_for_load_state("networkidle")
    for name in NAMES:
        assert [asked for asked in doorkeeper.refused if f"{name}.example" in asked], name
    assert [asked for asked in doorkeeper.refused if "192.0.2.7" in asked]
    seen = " ".join(elsewhere)
    assert "wss://socket.example/live" in seen
    assert "https://fetched.example/data.json" in seen
    del doorkeeper.refused[:], elsewhere[:]
