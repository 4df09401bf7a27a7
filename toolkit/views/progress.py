"""Progress of a job: rich in a terminal, an updating line in Jupyter, plain lines elsewhere."""

import html
import importlib
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

from toolkit.execution.job import Job
from toolkit.execution.progress import Progress

_REFRESH_SECONDS = 0.25
_LINE_SECONDS = 10.0
_QUIET_SECONDS = 1.0


class _Display(Protocol):
    def show(self, progress: Progress, link: str | None) -> None: ...
    def finish(self, progress: Progress, link: str | None) -> None: ...


@contextmanager
def shown(job: Job, *, enabled: bool = True, stream: TextIO | None = None) -> Iterator[None]:
    """Show a job's progress while the body runs; nothing for a job that ends within a second.

    Parameters
    ----------
    job
        What to watch; it is only looked at.
    enabled
        False shows nothing.
    stream
        Where terminal output goes; standard error by default, so that results can be piped.
    """
    if not enabled:
        yield
        return
    stop = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(job, stop, stream or sys.stderr), name="toolkit-progress", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(timeout=5)


def _watch(job: Job, stop: threading.Event, stream: TextIO) -> None:
    if stop.wait(_QUIET_SECONDS):
        return
    display = _choose(stream)
    while True:
        display.show(job.progress, job.dashboard_link)
        if stop.wait(_REFRESH_SECONDS):
            break
    display.finish(job.progress, job.dashboard_link)


def _choose(stream: TextIO) -> _Display:
    if _in_jupyter():
        return _JupyterDisplay()
    if stream.isatty():
        return _TerminalDisplay(stream)
    return _LineDisplay(stream)


def _in_jupyter() -> bool:
    interactive: Any = sys.modules.get("IPython")
    if interactive is None:
        return False
    shell = interactive.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class _LineDisplay:
    """A line now and then: for logs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0
        self._link_shown = False

    def show(self, progress: Progress, link: str | None) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LINE_SECONDS
        self._write(progress, link)

    def finish(self, progress: Progress, link: str | None) -> None:
        self._write(progress, link)

    def _write(self, progress: Progress, link: str | None) -> None:
        if link and not self._link_shown:
            self._stream.write(f"Dask dashboard: {link}\n")
            self._link_shown = True
        self._stream.write(f"{progress}\n")
        self._stream.flush()


class _TerminalDisplay:
    """A bar that rewrites itself."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(file=stream), auto_refresh=False, transient=False)
        self._live.start()

    def show(self, progress: Progress, link: str | None) -> None:
        self._live.update(self._render(progress, link), refresh=True)

    def finish(self, progress: Progress, link: str | None) -> None:
        self._live.update(self._render(progress, link), refresh=True)
        self._live.stop()

    @staticmethod
    def _render(progress: Progress, link: str | None) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        finished = progress.total - progress.pending
        color = "red" if progress.failed else "green"
        rows = Table.grid()
        rows.add_row(
            ProgressBar(
                total=max(progress.total, 1),
                completed=finished,
                width=60,
                complete_style=color,
                finished_style=color,
            )
        )
        rows.add_row(Text(str(progress)))
        if link:
            rows.add_row(Text(f"Dask dashboard: {link}", style="dim"))
        return rows


class _JupyterDisplay:
    """One HTML block that is updated in place, from the watching thread."""

    def __init__(self) -> None:
        display: Any = importlib.import_module("IPython.display")
        self._html = display.HTML
        self._handle = display.display(display.HTML(""), display_id=True)

    def show(self, progress: Progress, link: str | None) -> None:
        self._handle.update(self._html(progress_html(progress, link)))

    def finish(self, progress: Progress, link: str | None) -> None:
        del link
        self._handle.update(self._html(progress_html(progress, None)))


def progress_html(progress: Progress, link: str | None) -> str:
    """Return a bar and a line as HTML without script; reads in light and dark themes."""
    total = max(progress.total, 1)
    done, failed = 100 * progress.done / total, 100 * progress.failed / total
    address = html.escape(link or "", quote=True)
    dashboard = f' <a href="{address}" target="_blank">Dask dashboard</a>' if link else ""
    return (
        '<div style="max-width:40em;font-family:var(--jp-code-font-family,monospace)">'
        '<div style="display:flex;height:.8em;border-radius:.2em;overflow:hidden;'
        'background:var(--jp-layout-color3,#ccc)">'
        f'<div style="width:{done:.2f}%;background:#0072b2"></div>'
        f'<div style="width:{failed:.2f}%;background:#d55e00"></div></div>'
        f"<div>{html.escape(str(progress))}{dashboard}</div></div>"
    )
