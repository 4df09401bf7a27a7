"""Watches a job from a thread of its own, tells the widget, and does what its buttons ask."""

import contextlib
import importlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from toolkit.errors import ToolkitError
from toolkit.views.picture import Along, Picture
from toolkit.views.pictures import Pictures
from toolkit.views.snapshot import Snapshot
from toolkit.views.widget.budget import Budget
from toolkit.views.widget.document import (
    dim_documents,
    failure_documents,
    grid_bytes,
    picture_document,
    side_documents,
    state_document,
)
from toolkit.views.widget.model import model_class
from toolkit.views.widget.still import still_html

if TYPE_CHECKING:
    from toolkit.execution.job import Job

_WHILE_IT_RUNS = (240, 360)
"""Cells of a picture that changes; what is sent is the larger part of what a look costs."""

_AT_REST = (480, 720)

VIEW = "application/vnd.jupyter.widget-view+json"


class JobView:
    """One job in one widget, which may be shown in several cells.

    Parameters
    ----------
    job
        The sweep that has been started.
    look
        Makes a snapshot of it.
    """

    def __init__(self, job: "Job", look: Callable[["Job"], Snapshot] | None = None) -> None:
        self.widget = model_class()()
        _hear_while_cells_run(self.widget)
        self.job = job
        self._look = look or _snapshot_of
        self._budget = Budget()
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._stills: list[Any] = []
        self._snapshot: Snapshot | None = None
        self._pictures = Pictures.of_job(job)
        self._picture: Picture | None = None
        self._chosen: dict[str, Any] = {}
        self._is_chosen = False
        self._sides: tuple[object, ...] | None = None
        self._number = self._version = 0
        self._problem = self._answer = self._focus = ""
        self._thread: threading.Thread | None = None
        self._watched: Job | None = None
        self.widget.on_msg(lambda _widget, content, _buffers: self.answer(content))

    def show(self) -> None:
        """Show it below the present cell, and watch the job until it ends."""
        display: Any = importlib.import_module("IPython.display").display
        with self._lock:
            if self._snapshot is None:
                self.look()
            bundle = {
                VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id},
                "text/plain": "The widget of this sweep needs its kernel. How the sweep ended:",
            }
            display(bundle, raw=True)
            self._stills.append(display(self._still(), raw=True, display_id=True))
        self._watch()

    def finish(self) -> None:
        """Tell the end, and write what stays in the saved notebook."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            self._wake.set()
            thread.join(timeout=10)

    def look(self) -> None:
        """Look at the job once, and tell the widget; whatever fails is said there."""
        with self._lock:
            self._problem = ""
            try:
                self._snapshot = self._look(self.job)
            except Exception as error:  # noqa: BLE001 - no failure of a view may harm the sweep
                self._problem = f"How the sweep stands cannot be seen now: {_words(error)}."
            try:
                drawn = self._draw()
            except Exception as error:  # noqa: BLE001
                self._problem = f"The picture cannot be drawn now: {_words(error)}."
                drawn = {}
            self._tell(drawn)

    def answer(self, content: Mapping[str, Any]) -> None:
        """Do what a button, a selector or the mouse asks for."""
        with self._lock:
            self._answer = ""
            try:
                self._do(content)
            except Exception as error:  # noqa: BLE001
                self._answer = _words(error)
            self._tell({})
        self._wake.set()

    # ---- inside

    def _watch(self) -> None:
        """Look at the present job until it ends; a thread that watches another one ends with it."""
        if self._watched is self.job:
            return
        self._watched = self.job
        self.job.tell_end(self._wake.set)
        self._thread = threading.Thread(
            target=self._go, args=(self.job,), name="toolkit-widget", daemon=True
        )
        self._thread.start()

    def _go(self, job: "Job") -> None:
        while not self._is_over(job, self._budget.pause()):
            before = time.thread_time()
            self.look()
            self._budget.note(time.thread_time() - before)
        with self._lock:
            if job is not self._watched:
                return
            self.look()
            for still in self._stills:
                with contextlib.suppress(Exception):
                    still.update(self._still(), raw=True)

    def _is_over(self, job: "Job", seconds: float) -> bool:
        """Wait for the next look, for a wish or for the end; return whether the job has ended."""
        if not job.is_finished:
            self._wake.wait(seconds)
            self._wake.clear()
        return job.is_finished

    def _still(self) -> dict[str, str]:
        is_ended = self._snapshot is not None and self._snapshot.is_ended
        snapshot, picture = (self._snapshot, self._picture) if is_ended else (None, None)
        return {"text/html": still_html(snapshot, picture), "text/plain": ""}

    def _draw(self) -> dict[str, Any]:
        """Return what has changed of the picture, by trait."""
        outputs = self._pictures.outputs
        if not outputs:
            return {}
        output = self._chosen.get("output")
        if output not in outputs or (output != outputs[0] and not self._is_chosen):
            self._choose({"output": outputs[0]})  # until a run has ended there are states only
        chosen = self._chosen
        dims = self._pictures.dims(chosen["output"])
        if chosen["x"] is None or chosen["x"] not in dims:
            return {}
        where = {name: dims[name].labels[at] for name, at in chosen["where"].items()}
        picture = self._pictures.draw(
            chosen["output"],
            chosen["x"],
            chosen["y"],
            where=where,
            most=_AT_REST if self.job.is_finished else _WHILE_IT_RUNS,
        )
        return self._changed(picture, dims)

    def _changed(self, picture: Picture, dims: Mapping[str, Along]) -> dict[str, Any]:
        chosen = self._chosen
        outputs = self._pictures.outputs
        key = (
            outputs,
            str(chosen),
            len(picture.x),
            None if picture.y is None else len(picture.y),
            [len(dim) for dim in dims.values()],
        )
        found: dict[str, Any] = {}
        if key != self._sides:
            self._sides, self._number = key, self._number + 1
            found["sides"] = {**side_documents(picture), "number": self._number}
            found["options"] = {
                "outputs": list(outputs),
                "chosen": dict(chosen),
                "dims": dim_documents(dims, picture),
            }
        grid = grid_bytes(picture)
        document = {**picture_document(picture), "sides": self._number}
        before = {k: v for k, v in self.widget.picture.items() if k != "version"}
        if found or grid != self.widget.grid or document != before:
            self._version += 1
            found["grid"] = grid
            found["picture"] = {**document, "version": self._version}
        self._picture = picture
        return found

    def _tell(self, drawn: Mapping[str, Any]) -> None:
        """Send what has changed in one message."""
        with self.widget.hold_sync():
            for name, value in drawn.items():
                setattr(self.widget, name, value)
            if self._snapshot is not None:
                failures = failure_documents(self._snapshot)
                if failures != self.widget.failures:
                    self.widget.failures = failures
                said = " ".join(filter(None, [self._problem, self._answer]))
                self.widget.state = {
                    **state_document(self._snapshot),
                    "job": id(self.job),
                    "said": said,
                    "focus": self._focus,
                }

    def _do(self, content: Mapping[str, Any]) -> None:
        job, asked = self.job, content.get("do")
        if asked == "choose":
            self._choose(content)
            self._is_chosen = True
            self._tell(self._draw())
        elif asked == "cancel":
            job.request_stop()
        elif asked == "pause":
            job.pause()
        elif asked == "resume":
            job.resume()
        elif asked == "retry":
            self._follow(job.retry())
        elif asked == "focus":
            self._focus_on(content)
        elif asked == "unfocus":
            job.focus()
            self._focus = ""
        else:
            raise ToolkitError(f"The widget asks for {asked!r}, which this version does not know")

    def _follow(self, job: "Job") -> None:
        """Show another job from now on: the one that runs the failed runs again."""
        if job is not self.job:
            self.job, self._pictures = job, Pictures.of_job(job)
            self._focus = ""
            self._budget = Budget()
            job.shown = self
            self._watch()

    def _choose(self, wanted: Mapping[str, Any]) -> None:
        """Take what was chosen; what does not fit the output is chosen anew."""
        output = str(wanted.get("output"))
        dims = self._pictures.dims(output)
        x, y = wanted.get("x"), wanted.get("y")
        if x not in dims or (y is not None and y not in dims) or x == y:
            x, y = self._pictures.default(output)
        elif y is not None and not (dims[x].is_whole and dims[y].is_whole):
            # Points lie over two parameters of the same dim.
            y = y if not dims[x].is_whole and not dims[y].is_whole else None
        where = {
            name: int(at)
            for name, at in dict(wanted.get("where") or {}).items()
            if name in dims and name not in (x, y) and 0 <= int(at) < len(dims[name])
        }
        self._chosen = {"output": output, "x": x, "y": y, "where": where}

    def _focus_on(self, content: Mapping[str, Any]) -> None:
        """Let the runs of a region of the picture come first."""
        picture = self._picture
        if picture is None:
            return
        dims = self._pictures.dims(self._chosen["output"])
        labels: dict[str, object] = {}
        words: list[str] = []
        for side, key in ((picture.x, "x"), (picture.y, "y")):
            ends = content.get(key)
            if side is None or ends is None:
                continue
            dim = dims[side.name]
            first, last = int(ends[0]) * side.each, (int(ends[1]) + 1) * side.each - 1
            chosen = range(max(0, first), min(last, len(dim) - 1) + 1)
            self._note_labels(dim, chosen, labels, words)
        for name, at in self._chosen["where"].items():
            self._note_labels(dims[name], range(at, at + 1), labels, words)
        if labels:
            self.job.focus(**labels)
            self._focus = f"Runs with {' and '.join(words)} come first."

    def _note_labels(
        self, dim: Along, chosen: range, labels: dict[str, object], words: list[str]
    ) -> None:
        """Add the labels at some places of a dim that runs have; inner dims are in every run."""
        if dim.name not in self._outer() or not len(chosen):
            return
        all_words = dim.words()
        first, last = chosen[0], chosen[-1]
        found = dim.labels[first : last + 1]
        labels[dim.name] = list(found) if found.dtype.kind in "mM" else found.tolist()
        words.append(
            f"{dim.name} = {all_words[first]}"
            if first == last
            else f"{dim.name} from {all_words[first]} to {all_words[last]}"
        )

    def _outer(self) -> set[str]:
        return {dim.name for step in self.job.steps for dim in step.prepared.space.dims}


def _hear_while_cells_run(widget: Any) -> None:
    """Let buttons be heard in the thread that JupyterLab has made for them.

    ipykernel 7.4 sends messages for a widget to where the widget has spoken last, which is the
    thread of the cells: a sweep could not be cancelled before the cell that runs has ended.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = None


def _words(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


def _snapshot_of(job: "Job") -> Snapshot:
    from toolkit.views.live import snapshot_of

    return snapshot_of(job)
