from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from toolkit.commands.origin import origin_of
from toolkit.commands.target import content_hash

Toolkit = Callable[..., Result]
COMMANDS = ("run", "explain", "retry", "reproduce")


@pytest.fixture
def store(toolkit: Toolkit) -> Path:
    """A store whose origin is `study.py:sweep`."""
    toolkit("run study.py", code=1)
    return Path("sir.zarr")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_store_alone_executes_nothing_but_names_its_file(
    toolkit: Toolkit, store: Path, folder: Path, command: str
) -> None:
    (folder / "study.py").write_text("open('executed', 'w')\n")
    done = toolkit(f"{command} sir.zarr", code=2)
    assert done.stderr.splitlines()[-1] == f"Next: toolkit {command} study.py:sweep"
    assert not (folder / "executed").exists()


def test_yes_takes_the_file_from_the_store(toolkit: Toolkit, store: Path) -> None:
    assert "11 stored" in toolkit("explain sir.zarr --yes").stdout
    assert "1 executed now" in toolkit("retry sir.zarr --yes", code=1).stdout
    assert "'peak': 1.0" in toolkit("reproduce sir.zarr --yes beta=.1 gamma=.1").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_yes_does_not_take_an_edited_file(
    toolkit: Toolkit, store: Path, folder: Path, command: str
) -> None:
    (folder / "study.py").write_text("open('executed', 'w')\n")
    done = toolkit(f"{command} sir.zarr --yes", code=2)
    assert "was edited" in done.stderr
    assert not (folder / "executed").exists()


def test_a_store_that_was_moved_is_the_one_that_is_run(
    toolkit: Toolkit, store: Path, folder: Path
) -> None:
    store.rename("moved.zarr")
    assert "moved.zarr: 11 of 12 runs done" in toolkit("retry moved.zarr --yes", code=1).stdout
    assert not store.exists()


def test_a_file_that_is_gone_is_said(toolkit: Toolkit, store: Path, folder: Path) -> None:
    (folder / "study.py").unlink()
    assert "is not there" in toolkit("run sir.zarr --yes", code=2).stderr


def test_the_origin_is_that_of_the_last_run(toolkit: Toolkit, store: Path, folder: Path) -> None:
    study = folder / "study.py"
    study.write_text(study.read_text() + "\n# edited\n")
    toolkit("run study.py", code=1)
    assert "1 executed now" in toolkit("retry sir.zarr --yes", code=1).stdout


def test_readers_name_the_file_that_a_store_came_from(toolkit: Toolkit, store: Path) -> None:
    assert "toolkit retry study.py:sweep" in toolkit("errors sir.zarr").stdout


@pytest.mark.parametrize(
    "made_by",
    [
        {},
        {"script": None},
        {"script": "study.py:sweep"},
        {"script": {"file": 3, "content": "x"}},
        {"script": {"file": "a\x1b[2J.py", "content": "x"}},
        {"script": {"file": "/a.py"}},
    ],
)
def test_a_provenance_that_says_nothing_of_use_is_no_origin(made_by: dict[str, object]) -> None:
    assert origin_of(made_by) is None


def test_an_origin_is_typed_as_seen_from_here(folder: Path) -> None:
    content = content_hash(Path("study.py"))
    for file, typed in ((folder / "study.py", "study.py:s"), (Path("/far/b.py"), "/far/b.py:s")):
        origin = origin_of({"script": {"file": str(file), "name": "s", "content": content}})
        assert origin is not None
        assert str(origin.target) == typed
