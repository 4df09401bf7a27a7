"""A JupyterLab server of the tests' own: nothing of the user's, nothing from the internet."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

START_S = 150  # on a machine with other work the first start has taken over a minute
END_S = 30

# JupyterLab's plugin -> its settings here.
SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    # cells out of sight are on the page too
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
}
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


class Laboratory:
    """One server, with a folder for its notebooks."""

    def __init__(self, folder: Path, *, proxy: str) -> None:
        self.root = folder / "notebooks"
        self._folders = {
            name: folder / name.lower()
            for name in (
                "JUPYTER_CONFIG_DIR",
                "JUPYTER_DATA_DIR",
                "JUPYTER_RUNTIME_DIR",
                "IPYTHONDIR",
            )
        }
        for each in (self.root, *self._folders.values()):
            each.mkdir(parents=True)
        self.token = secrets.token_hex(16)
        self.log = folder / "lab.log"
        self._proxy = proxy
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        for plugin, values in SETTINGS.items():
            self.set(plugin, values)
        self.set_theme("light")
        # Panel's pages, which nobody asks for here, would take seconds to start.
        extensions = {"panel.io.jupyter_server_extension": False}
        (self._folders["JUPYTER_CONFIG_DIR"] / "jupyter_server_config.json").write_text(
            json.dumps({"ServerApp": {"jpserver_extensions": extensions}})
        )

    def set(self, plugin: str, values: dict[str, Any]) -> None:
        """Have pages that are opened from now on see these settings of a plugin."""
        folder = self._folders["JUPYTER_CONFIG_DIR"] / "lab/user-settings"
        path = folder / f"{plugin}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))

    def set_theme(self, theme: str) -> None:
        """Have pages that are opened from now on be light or dark."""
        self.set("@jupyterlab/apputils-extension/themes", {"theme": THEMES[theme]})

    @contextlib.contextmanager
    def open(self) -> Iterator["Laboratory"]:
        """Serve until the end of the block."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")
        }
        environment |= {name: str(path) for name, path in self._folders.items()}
        # What a kernel asks of other machines is refused and listed as well.
        environment |= {"no_proxy": "127.0.0.1,localhost,::1"}
        environment |= dict.fromkeys(("http_proxy", "https_proxy"), self._proxy)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"),
                    f"--port={_free_port()}",
                    f"--ServerApp.root_dir={self.root}",
                    f"--IdentityProvider.token={self.token}",
                    "--ServerApp.terminals_enabled=False",
                    "--LabApp.expose_app_in_browser=True",
                    "--LabApp.extension_manager=readonly",
                    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
                    "--LabApp.news_url=",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        try:
            self._wait_until_it_answers()
            yield self
        finally:
            self._end()

    def address(self, path: str) -> str:
        """Return the address at which a browser opens a notebook of the folder, in a new layout."""
        return f"http://127.0.0.1:{self.port}/lab/tree/{path}?reset&token={self.token}"

    def end_kernels(self) -> None:
        """End all kernels, and with them what they started."""
        for session in self._ask("api/sessions"):
            with contextlib.suppress(urllib.error.HTTPError):  # it ended by itself
                self._ask(f"api/sessions/{session['id']}", method="DELETE")

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_S
        while self._process.poll() is None and time.monotonic() < until:
            # It takes another port where the free one was taken meanwhile, and writes which.
            pattern = f"jpserver-{self._process.pid}.json"
            for path in self._folders["JUPYTER_RUNTIME_DIR"].glob(pattern):
                with contextlib.suppress(ValueError, OSError):
                    self.port = json.loads(path.read_text())["port"]
                    self._ask("api/status")
                    return
            time.sleep(0.1)
        raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()}")

    def _ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            method=method,
            headers={"Authorization": f"token {self.token}"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")

    def _end(self) -> None:
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.terminate()  # which ends the kernels as well
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
