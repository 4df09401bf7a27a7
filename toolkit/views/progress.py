"""Progress of a job: rich in a terminal, a block of HTML in Jupyter, plain lines elsewhere.

A display is drawn from snapshots by a thread of its own. No sweep needs it: one that fails says so
once, and the sweep goes on.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from toolkit.views.block import snapshot_html
from toolkit.views.plain import printable
from toolkit.views.snapshot import Snapshot
from toolkit.views.terminal import render
from toolkit.views.words import line

if TYPE_CHECKING:
    from toolkit.execution.job import Job

Look = Callable[["Job"], Snapshot]

REDRAW_SECONDS = 0.25
"""Between two drawings, at least."""

_BLOCK_SECONDS = 1.0  # what was unfolded in it is folded again
_QUIET_SECONDS = 1.0
_MOST_OF_A_CORE = 0.02  # that drawing may take
_LINE_SECONDS = 10.0
_LINE_SHARE = 0.1  # of the time until now is the next line away
_LONGEST_PAUSE = 3_600.0
_MISSING = (
    "For maps, failures to click through and buttons, install the notebook extra: "
    'pip install "parallel-analysis-toolkit[notebook]", and restart the kernel.'
)


class Display(Protocol):
    """Shows snapshots, one after the other."""

    @property
    def pause(self) -> float:
        """Seconds until it wants the next one."""

    def show(self, snapshot: Snapshot) -> None:
        """Draw a sweep that goes on."""

    def finish(self, snapshot: Snapshot) -> None:
        """Draw its end."""

    def close(self) -> None:
        """Give back what was taken, such as the terminal's cursor; after a failure too."""


@contextmanager
def shown(
    job: "Job", *, enabled: bool = True, stream: TextIO | None = None, look: Look | None = None
) -> Iterator[None]:
    """Show a job's progress while the body runs; nothing for a job that ends within a second.

    Parameters
    ----------
    job
        What to watch; it is only looked at.
    enabled
        False shows nothing.
    stream
        Where terminal output goes; standard error by default, so that results can be piped.
    look
        Makes the snapshots.
    """
    if not enabled:
        yield
        return
    stop = threading.Event()
    watcher = threading.Thread(
        target=_watch,
        args=(job, stop, stream or sys.stderr, look or _snapshot_of),
        name="toolkit-progress",
        daemon=True,
    )
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join(timeout=5)


def display_for(job: "Job", stream: TextIO) -> Display:
    """Return the best display that there is here: of the notebook, the terminal or a log."""
    if _is_in_jupyter():
        return interactive_display(job) or BlockDisplay()
    if stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        return TerminalDisplay(stream)
    return LineDisplay(stream)


def interactive_display(job: "Job") -> Display | None:
    """Return a widget that shows a job, None where this notebook can have none."""
    from toolkit.views.widget.showing import WidgetDisplay, has_widgets

    return WidgetDisplay(job) if has_widgets() else None


def _snapshot_of(job: "Job") -> Snapshot:
    from toolkit.views.live import snapshot_of

    return snapshot_of(job)


def _watch(job: "Job", stop: threading.Event, stream: TextIO, look: Look) -> None:
    if stop.wait(_QUIET_SECONDS):
        return
    display: Display | None = None
    try:
        display = display_for(job, stream)
        while True:
            before = time.thread_time()
            display.show(look(job))
            cost = time.thread_time() - before
            if stop.wait(max(display.pause, cost / _MOST_OF_A_CORE)):
                break
        display.finish(look(job))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no matter of the sweep
        _give_up(display, stream, error)


def _give_up(display: Display | None, stream: TextIO, error: Exception) -> None:
    if display is not None:
        with contextlib.suppress(Exception):
            display.close()
    words = " ".join(f"{type(error).__name__}: {error}".split())
    with contextlib.suppress(Exception):
        _write(stream, f"Progress cannot be shown any more, and the sweep goes on ({words}).")


def _write(stream: TextIO, words: str) -> None:
    """Write a line, with question marks for signs that the stream has not."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(printable(words).encode(encoding, "replace").decode(encoding) + "\n")
    stream.flush()


def _is_in_jupyter() -> bool:
    interactive: Any = sys.modules.get("IPython")
    if interactive is None:
        return False
    shell = interactive.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


class LineDisplay:
    """A line now and then, for logs: every 10 s at first, later at each tenth more of the time.

    Parameters
    ----------
    stream
        Where to.
    clock
        Seconds; the time that has gone by decides about the next line.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._began = clock()
        self._link: str | None = None

    @property
    def pause(self) -> float:
        """Between 10 s and an hour: a week makes some two hundred lines."""
        gone = self._clock() - self._began
        return min(max(_LINE_SECONDS, _LINE_SHARE * gone), _LONGEST_PAUSE)

    def show(self, snapshot: Snapshot) -> None:
        """Write a line."""
        if snapshot.dashboard_link and snapshot.dashboard_link != self._link:
            self._link = snapshot.dashboard_link
            _write(self._stream, f"Dask dashboard: {self._link}")
        _write(self._stream, f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line(snapshot)}")

    def finish(self, snapshot: Snapshot) -> None:
        """Write the last line."""
        self.show(snapshot)

    def close(self) -> None:
        """Do nothing: the stream is somebody else's."""


class TerminalDisplay:
    """Redraws itself in place; what is printed meanwhile goes above it.

    Parameters
    ----------
    stream
        A terminal.
    """

    pause = REDRAW_SECONDS

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(file=stream)
        # What goes to a file does not belong above the display.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
            redirect_stderr=sys.stderr is not None and sys.stderr.isatty(),
        )
        self._live.start()

    def show(self, snapshot: Snapshot) -> None:
        """Draw it in the place of the one before; what is higher than the terminal is cut."""
        console = self._console
        drawn = render(
            snapshot, width=console.width, ascii_only=not console.encoding.startswith("utf")
        )
        self._live.update(drawn, refresh=True)

    def finish(self, snapshot: Snapshot) -> None:
        """Draw all of it, and leave it there."""
        self._live.vertical_overflow = "visible"
        self.show(snapshot)
        self.close()

    def close(self) -> None:
        """Give the terminal back."""
        self._live.stop()


class BlockDisplay:
    """One block of HTML in a notebook that is updated in place, without widgets."""

    pause = _BLOCK_SECONDS

    def __init__(self) -> None:
        display: Any = importlib.import_module("IPython.display")
        self._html = display.HTML
        self._handle = display.display(display.HTML(""), display_id=True)
        self._note = "" if importlib.util.find_spec("anywidget") else _MISSING

    def show(self, snapshot: Snapshot) -> None:
        """Put it in the place of the one before."""
        self._handle.update(self._html(snapshot_html(snapshot, note=self._note)))

    def finish(self, snapshot: Snapshot) -> None:
        """Put the end there; it stays in the saved notebook."""
        self.show(snapshot)

    def close(self) -> None:
        """Do nothing: what is there stays."""
