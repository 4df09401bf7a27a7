"""Shows a job in Jupyter: with the widget, or as HTML that says what is missing."""

import importlib.util
import sys
import threading
from typing import TYPE_CHECKING, Any

from toolkit.views.snapshot import Snapshot

if TYPE_CHECKING:
    from toolkit.execution.job import Job
    from toolkit.views.widget.view import JobView

_LOCK = threading.Lock()


def is_in_jupyter() -> bool:
    """Whether this process is the kernel of a notebook."""
    interactive: Any = sys.modules.get("IPython")
    if interactive is None:
        return False
    shell = interactive.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def has_widgets() -> bool:
    """Whether anywidget is installed."""
    return importlib.util.find_spec("anywidget") is not None


def view_of(job: "Job") -> "JobView":
    """Return the widget of a job; a job has one, however often it is shown."""
    from toolkit.views.widget.view import JobView

    with _LOCK:
        view = job.shown
        if not isinstance(view, JobView) or view.job is not job:
            view = job.shown = JobView(job)
        return view


def show_job(job: "Job") -> None:
    """Show a job below the present cell.

    Raises
    ------
    NotImplementedError
        Outside of Jupyter: IPython then prints the job in a line.
    """
    from toolkit.views.progress import BlockDisplay
    from toolkit.views.widget.view import _snapshot_of

    if not is_in_jupyter():
        raise NotImplementedError
    if has_widgets():
        view_of(job).show()
    else:
        BlockDisplay().show(_snapshot_of(job))


class WidgetDisplay:
    """The widget as the display of ``sweep.run()``: it watches by itself.

    Parameters
    ----------
    job
        What it shows.
    """

    pause = 3_600.0

    def __init__(self, job: "Job") -> None:
        self._view = view_of(job)
        self._is_shown = False

    def show(self, snapshot: Snapshot) -> None:
        """Show it, once."""
        del snapshot
        if not self._is_shown:
            self._is_shown = True
            self._view.show()

    def finish(self, snapshot: Snapshot) -> None:
        """Wait until the end is told."""
        del snapshot
        self._view.finish()

    def close(self) -> None:
        """Do nothing: what is there stays."""
