"""``data.hvplot`` where there is no internet."""

import importlib
import importlib.util
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError

_done: list[bool] = []


def setup_offline() -> None:
    """Make ``data.hvplot`` work without internet, in the first cell of a notebook.

    What draws in the browser then comes with the notebook, three megabytes in this cell's output,
    and ``data.peak.hvplot()`` works in later cells. Without it hvplot looks for that on the
    internet, and draws nothing where there is none; so call it before anything imports hvplot.

    Raises
    ------
    ToolkitError
        If hvplot is not installed, or is loaded already.
    """
    if _done:
        return
    missing = [name for name in ("holoviews", "hvplot") if importlib.util.find_spec(name) is None]
    if missing:
        raise ToolkitError(
            f"data.hvplot needs {' and '.join(missing)}, which {_is_are(missing)} not installed "
            "here. Install: python -m pip install 'parallel-analysis-toolkit[viz]'"
        )
    early = _loaded_early()
    if early:
        raise ToolkitError(
            f"{early} before tk.plot.setup_offline(): what it draws with is looked for on the "
            "internet already. Restart the kernel, and call tk.plot.setup_offline() first."
        )
    # Bokeh reads it when it is asked what to put into the page, which loading the extension does.
    os.environ["BOKEH_RESOURCES"] = "inline"
    extension: Any = importlib.import_module("holoviews").extension
    extension("bokeh", inline=True, logo=False)
    extension.inline = True  # where a later cell loads it anew
    with _undisplayed():  # it loads the extension a second time
        importlib.import_module("hvplot.xarray")  # gives arrays their .hvplot
    _inline_style_sheets()
    _done.append(True)


def _undisplayed() -> AbstractContextManager[Any]:
    if "IPython" not in sys.modules:
        return nullcontext()
    captured: Any = importlib.import_module("IPython.utils.capture").capture_output
    return captured(stdout=False, stderr=False)  # type: ignore[no-any-return]


def _inline_style_sheets() -> None:
    """Have Panel, which lays plots out, put its style sheets into the page, not their addresses."""
    if importlib.util.find_spec("panel") is None:
        return
    hooks: Any = importlib.import_module("panel.viewable").Viewable
    hooks._preprocessing_hooks.append(lambda _, root: _inlined(root))


def _inlined(root: Any) -> None:
    models: Any = importlib.import_module("bokeh.models")
    sheets = Path(importlib.import_module("panel").__file__ or "").parent / "dist"

    def inlined(sheet: Any) -> Any:
        if not isinstance(sheet, models.ImportedStyleSheet):
            return sheet
        path = sheets / sheet.url.partition("/dist/")[2].partition("?")[0]
        return models.InlineStyleSheet(css=path.read_text("utf-8")) if path.is_file() else sheet

    for model in root.select({"type": models.UIElement}):
        if any(isinstance(sheet, models.ImportedStyleSheet) for sheet in model.stylesheets):
            model.stylesheets = [inlined(sheet) for sheet in model.stylesheets]


def _loaded_early() -> str | None:
    """Return what was loaded that has told the browser where to look, None where nothing was."""
    # In a notebook hvplot forgets hvplot.xarray and its like before each cell, but not itself.
    if "hvplot" in sys.modules:
        return "hvplot was imported"
    extension = getattr(sys.modules.get("holoviews"), "extension", None)
    return "holoviews.extension() was called" if getattr(extension, "_loaded", False) else None


def _is_are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
