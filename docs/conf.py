"""How Sphinx builds this documentation: offline, from the docstrings and the executed notebooks."""

import inspect
import shutil
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

import toolkit

project = "parallel-analysis-toolkit"
author = "the parallel-analysis-toolkit developers"
copyright = f"2026, {author}"
version = release = toolkit.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]

html_theme = "pydata_sphinx_theme"
html_title = project
html_theme_options = {"show_prev_next": False, "navigation_with_keys": False}
html_sidebars = {"index": []}

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
copybutton_exclude = ".linenos, .gp, .go"
myst_heading_anchors = 3

nb_execution_mode = "off"  # notebooks are committed executed; a test executes them
nb_ipywidgets_js: dict[str, object] = {}  # no script from elsewhere: the pages work offline

HERE = Path(__file__).parent

# Title of a page of the reference -> the rooms whose public names it describes.
REFERENCE = {
    "Spaces": ("spaces",),
    "Stages": ("stages", "inputs"),
    "Sweeps": ("sweep", "graphs", "execution"),
    "Stores": ("stores",),
    "Clusters and resources": ("clusters", "resources"),
    "Choosing points and simulating": (
        *("fitting", "sampling", "likelihood", "scaling_study"),
        *("optimizers", "simulation"),
    ),
    "Views": ("views",),
    "Status and errors": ("run_status", "errors"),
}


def copy_notebooks() -> None:
    """Bring the notebooks under the source folder, where Sphinx looks for pages."""
    copies = HERE / "notebooks"
    copies.mkdir(exist_ok=True)
    notebooks = sorted((HERE.parent / "notebooks").glob("*.ipynb"))
    for stale in {path.name for path in copies.glob("*.ipynb")} - {path.name for path in notebooks}:
        (copies / stale).unlink()
    for notebook in notebooks:
        shutil.copy2(notebook, copies)
    lines = ["Notebooks", "=========", "", ".. toctree::", ""]
    _write(copies / "index.rst", lines + [f"   {path.stem}" for path in notebooks])


def write_reference() -> None:
    """Write one page for each group of public names, so that none can be forgotten."""
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    for page in folder.glob("*.rst"):
        page.unlink()
    names = {name: _room(name) for name in getattr(toolkit, "__all__", ())}
    homeless = {
        name for name, room in names.items() if not any(room in r for r in REFERENCE.values())
    }
    if homeless:
        raise ValueError(f"give these public names a page in docs/conf.py: {sorted(homeless)}")
    pages = []
    for title, rooms in REFERENCE.items():
        entries = [line for name in names if names[name] in rooms for line in _entry(name)]
        if entries:
            pages.append(title.lower().replace(" ", "-"))
            _write(folder / f"{pages[-1]}.rst", [title, "=" * len(title), "", *entries])
    intro = ["Reference", "=========", "", "All public names, as in ``import toolkit as tk``.", ""]
    _write(folder / "index.rst", [*intro, ".. toctree::", "", *(f"   {page}" for page in pages)])


def _room(name: str) -> str:
    value = getattr(toolkit, name)
    if isinstance(value, ModuleType):
        module = value.__name__
    else:
        module = getattr(value, "__module__", None) or type(value).__module__
    parts = str(module).split(".")
    return parts[1] if parts[0] == "toolkit" and len(parts) > 1 else "resources"


def _entry(name: str) -> list[str]:
    value = getattr(toolkit, name)
    if isinstance(
        value, ModuleType
    ):  # a room within the room: its functions are toolkit.name.function
        lines = [str(inspect.getdoc(value)), ""]
        for each in value.__all__:
            lines += [f".. autofunction:: toolkit.{name}.{each}", ""]
        return [f"toolkit.{name}", "-" * len(f"toolkit.{name}"), "", *lines]
    kind = "autodata"
    if isinstance(value, type):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
    elif callable(value):
        kind = "autofunction"
    members = ["   :members:"] if kind == "autoclass" else []
    return [f".. {kind}:: toolkit.{name}", *members, ""]


def _write(path: Path, lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


copy_notebooks()
write_reference()


def setup(app: Sphinx) -> None:
    """Keep napoleon from reading a property's ``Size: in bytes`` as a type and a text."""
    kept: dict[str, list[str]] = {}

    def keep(
        _app: Sphinx, what: str, name: str, _obj: object, _options: object, lines: list[str]
    ) -> None:
        if what == "property":
            kept[name] = list(lines)

    def restore(
        _app: Sphinx, what: str, name: str, _obj: object, _options: object, lines: list[str]
    ) -> None:
        if what == "property":
            lines[:] = kept.pop(name)

    app.connect("autodoc-process-docstring", keep, priority=400)
    app.connect("autodoc-process-docstring", restore, priority=600)
