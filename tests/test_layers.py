"""Imports point up the list of rooms only, and Dask, zarr and torch stay where they belong."""

import ast
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import toolkit

PACKAGE = Path(toolkit.__file__).parent

# A line may import from the lines above it, not from itself; the facade is one room.
ROOMS = (
    ("errors",),
    ("markup", "resources", "run_status"),
    ("spaces",),
    ("inputs",),
    ("stages",),
    ("stores",),
    ("graphs", "clusters"),
    ("execution",),
    ("optimizers", "simulation", "views"),
    ("sweep",),
    ("searching",),
    ("fitting", "sampling", "scaling_study"),
    ("likelihood",),
    ("__init__", "__main__", "cli", "commands", "demo"),
)
RANK = {room: rank for rank, line in enumerate(ROOMS) for room in line}
FACADE = set(ROOMS[-1])

# In a room with folders: a folder or file may import from those before it in the list.
FLOORS = {
    "stores": (
        "files",
        "catalogues",
        "arrays",
        "journals",
        "runs",
        "memory_store",
        "zarr_store",
        "transfer",
        "upstream",
        "reading",
        "upkeep",
        "results",
    ),
}

# Room -> how many of its files may import the library; None: any number.
LIBRARIES = {
    "dask": {"graphs": None, "clusters": None, "execution": None, "views": 1},
    "zarr": {"stores": None},
    # of optimizers: methods that need gradients, and differential equations on a device
    "torch": {"stages": 1, "inputs": 1, "optimizers": 2, "simulation": None},
}
# Its models are torch modules; nothing of it is imported but by those who ask for it by name.
WITH_TORCH = ("simulation",)
SAME_LIBRARY = {"distributed": "dask", "dask_jobqueue": "dask", "numcodecs": "zarr"}

# What a worker loads before its first run; all that these import needs numpy only.
WORKER_PATH = (
    "spaces.labels",
    "spaces.axis",
    "spaces.points",
    "spaces.seeds",
    "stages.schema",
    "stages.batch",
    "stages.current",
    "stores.catalogues.catalogue",
    "stores.journals.journal",
    "stores.arrays.chunks",
    "stores.runs.sink",
)
TOO_HEAVY_FOR_WORKERS = {"xarray", "pandas", "zarr", "dask", "distributed", "scipy", "torch"}


@dataclass(frozen=True, kw_only=True)
class Import:
    """One name that a file imports: ``toolkit.spaces.space.Space`` or ``numpy``."""

    name: str
    line: int
    is_at_top: bool  # executed when the file is imported
    is_for_types: bool  # under ``if TYPE_CHECKING``


def imports_of(path: Path) -> tuple[Import, ...]:
    return _imports_in(path.read_text())


@cache
def _imports_in(text: str) -> tuple[Import, ...]:
    return tuple(_walk(ast.parse(text), is_at_top=True, is_for_types=False))


def _walk(node: ast.AST, *, is_at_top: bool, is_for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        names: list[str] = []
        if isinstance(child, ast.Import):
            names = [alias.name for alias in child.names]
        elif isinstance(child, ast.ImportFrom):
            parent = "." * child.level + (child.module or "")
            names = [f"{parent}.{alias.name}" for alias in child.names]
        for name in names:
            yield Import(
                name=name,
                line=child.lineno,
                is_at_top=is_at_top and not is_for_types,
                is_for_types=is_for_types,
            )
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                wrapped = ast.Module(body=[statement], type_ignores=[])
                yield from _walk(wrapped, is_at_top=is_at_top, is_for_types=True)
            for statement in child.orelse:
                wrapped = ast.Module(body=[statement], type_ignores=[])
                yield from _walk(wrapped, is_at_top=is_at_top, is_for_types=is_for_types)
        else:
            yield from _walk(child, is_at_top=is_at_top and not inside, is_for_types=is_for_types)


def room_of(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def violations(package: Path) -> list[str]:
    """Every import in ``package`` that the rules above forbid, one sentence each."""
    found = []
    meetings: dict[tuple[str, str], set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        room = room_of(path, package)
        where = path.relative_to(package).as_posix()
        if room not in RANK:
            found.append(f"{where} is in no room: give it a place in the list of rooms")
            continue
        for one in imports_of(path):
            top = one.name.split(".")[0]
            library = SAME_LIBRARY.get(top, top)
            if one.name.startswith("."):
                found.append(f"{where}:{one.line} imports {one.name}: imports are absolute")
            elif top == "toolkit":
                found += _upward(room, one, where, package) + _up_stairs(path, one, package)
            elif library in LIBRARIES and not one.is_for_types:
                if room not in LIBRARIES[library]:
                    found.append(f"{where}:{one.line} imports {one.name}: not in this room")
                elif library == "torch" and one.is_at_top and room not in WITH_TORCH:
                    found.append(f"{where}:{one.line} imports torch at import time")
                else:
                    meetings.setdefault((library, room), set()).add(where)
    for (library, room), files in meetings.items():
        limit = LIBRARIES[library][room]
        if limit is not None and len(files) > limit:
            found.append(f"{library} is imported by {sorted(files)}: {limit} file of {room} may")
    return found


def _up_stairs(path: Path, one: Import, package: Path) -> list[str]:
    """Return what is wrong with an import within a room that has folders."""
    room, *inside = path.relative_to(package).with_suffix("").parts
    names = one.name.split(".")
    if room not in FLOORS or names[1:2] != [room] or inside == ["__init__"]:
        return []
    floors = FLOORS[room]
    here, there = inside[0], names[2] if len(names) > 2 else ""
    if here not in floors or there not in floors:
        unknown = here if here not in floors else there
        return [f"{room}/{unknown}.py has no place in the list of its room"]
    if floors.index(there) <= floors.index(here):
        return []
    where = path.relative_to(package).as_posix()
    return [f"{where}:{one.line} imports {one.name}: not below {room}/{here}"]


def _upward(room: str, one: Import, where: str, package: Path) -> list[str]:
    if one.name == "toolkit.__version__":
        return []  # a word that is there before any room is loaded
    imported = (*one.name.split("."), "__init__")[1]
    is_file = (package / imported).is_dir() or (package / f"{imported}.py").is_file()
    if imported not in RANK and not is_file:
        imported = "__init__"  # from toolkit import Sweep
    if imported == room or {imported, room} <= FACADE:
        return []
    if RANK.get(imported, len(ROOMS)) < RANK[room]:
        return []
    return [f"{where}:{one.line} imports {one.name}: not above {room}"]


def heavy_imports_of_workers(package: Path) -> list[str]:
    """What loading the worker path imports, at whatever distance, and should not."""
    found = []
    waiting = [f"toolkit.{name}" for name in WORKER_PATH]
    seen: set[Path] = set()
    while waiting:
        for path in _files_loaded(waiting.pop(), package):
            if path in seen:
                continue
            seen.add(path)
            for one in imports_of(path):
                top = one.name.split(".")[0]
                if not one.is_at_top:
                    continue
                if top == "toolkit":
                    waiting.append(one.name)
                elif top in TOO_HEAVY_FOR_WORKERS:
                    where = path.relative_to(package).as_posix()
                    found.append(f"{where}:{one.line} imports {one.name} on the worker path")
    return found


def _files_loaded(name: str, package: Path) -> Iterator[Path]:
    folder = package
    yield folder / "__init__.py"
    for part in name.split(".")[1:]:
        if (folder / f"{part}.py").is_file():
            yield folder / f"{part}.py"
        if not (folder / part / "__init__.py").is_file():
            return
        folder /= part
        yield folder / "__init__.py"


def test_imports_point_up_the_list_of_rooms_only() -> None:
    assert violations(PACKAGE) == []


def test_the_worker_path_needs_numpy_only() -> None:
    missing = [
        name for name in WORKER_PATH if not (PACKAGE / f"{name.replace('.', '/')}.py").is_file()
    ]
    assert missing == []
    assert heavy_imports_of_workers(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("spaces/planted.py", "from toolkit.stores.planted import x", "not above spaces"),
        ("spaces/planted.py", "import toolkit.sweep", "not above spaces"),
        ("stages/planted.py", "def f():\n    from toolkit import Sweep", "not above stages"),
        ("clusters/planted.py", "import toolkit.graphs", "not above clusters"),
        ("errors.py", "from toolkit.spaces import space", "not above errors"),
        ("views/planted.py", "def f():\n    import zarr", "not in this room"),
        ("sweep.py", "from distributed import Client", "not in this room"),
        ("optimizers/planted.py", "class C:\n    import torch", "at import time"),
        ("stores/planted.py", "from . import journal", "imports are absolute"),
        ("helpers.py", "", "in no room"),
        ("stores/files/planted.py", "import toolkit.stores.runs.state", "not below stores/files"),
        ("stores/zarr_store.py", "import toolkit.stores.upkeep.check", "not below stores/zarr"),
        ("stores/planted.py", "import toolkit.stores.runs.state", "no place in the list"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    package = _copy(tmp_path)
    _plant(package / file, line)
    new = [text for text in violations(package) if text not in violations(PACKAGE)]
    assert [text for text in new if text.startswith(file) and complaint in text] == new != []


def test_a_second_file_of_views_may_not_meet_dask(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    _plant(package / "views/one.py", "def f():\n    import dask")
    _plant(package / "views/two.py", "def f():\n    import distributed")
    assert [text for text in violations(package) if "1 file of views may" in text] != []


def test_types_of_dask_may_be_named_anywhere(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    _plant(package / "sweep.py", "if TYPE_CHECKING:\n    from distributed import Client")
    assert violations(package) == violations(PACKAGE)


def test_a_heavy_import_is_found_behind_another_file(tmp_path: Path) -> None:
    package = _copy(tmp_path)
    _plant(package / "spaces/seeds.py", "from toolkit.spaces.planted import x")
    _plant(package / "spaces/planted.py", "import pandas\n\ndef f():\n    import scipy")
    new = set(heavy_imports_of_workers(package)) - set(heavy_imports_of_workers(PACKAGE))
    assert new == {"spaces/planted.py:1 imports pandas on the worker path"}


def _copy(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(PACKAGE, folder / "toolkit", ignore=ignored))


def _plant(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    before = path.read_text() if path.exists() else ""
    path.write_text(f"{before}\n{text}\n" if before else f"{text}\n")
