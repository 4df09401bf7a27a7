"""What a stranger has pickled stays bytes until somebody asks for it by name."""

import base64
import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

import toolkit as tk
from tests.stores.filled import finish, on_disk, registered
from tests.trust.readers import read_store
from tests.trust.specimens import SCHEMA, _abandon, columns
from toolkit.cli import main
from toolkit.clusters.profile import load_profile
from toolkit.spaces.grid import grid


class Bomb:
    """Makes a folder where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    """Return the folder that a bomb makes."""
    return tmp_path / "sprung"


@pytest.fixture
def bomb(sprung: Path) -> bytes:
    """Return a bomb, pickled."""
    raw = pickle.dumps(Bomb(sprung))
    pickle.loads(raw)
    sprung.rmdir()  # it works
    return raw


@pytest.fixture
def mined(tmp_path: Path, bomb: bytes) -> Path:
    """Return a store with bombs wherever bytes or texts can lie."""
    path = tmp_path / "mined.zarr"
    store = on_disk(path)
    runs = registered(store, grid(a=[1, 2, 3], b=[0.5, 1.0, 2.0]))
    finish(runs, SCHEMA, [0, 1, 2], columns(3, bomb), failed=(1,))
    finish(runs, SCHEMA, [3, 4, 5], columns(3, bomb), fold=False)
    _abandon(store)
    text = base64.b64encode(bomb).decode()
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["provenance"] = {"script": text, "code": {"sir": text}, "inputs": text}
    document["attributes"]["toolkit"]["pickle"] = text
    (path / "zarr.json").write_text(json.dumps(document))
    line = {
        "stage": "sir",
        "run": 1,
        "exception": text,
        "message": text,
        "traceback": "t",
        "log": text,
    }
    with (path / ".journal/failures.jsonl").open("ab") as file:
        file.write(json.dumps({"token": "t", "text": text}).encode() + b"\n")
        file.write(json.dumps(line).encode() + b"\n" + bomb + b"\n")
    (path / ".journal/fold.json").write_bytes(bomb)
    (path / ".journal/lock.json").write_bytes(bomb)
    (path / ".journal/strange.journal").write_bytes(bomb)
    (path / "pickle.pkl").write_bytes(bomb)
    return path


def test_nothing_that_reads_a_store_unpickles(mined: Path, sprung: Path, specimen, heard) -> None:
    read_store(specimen("folded"))  # libraries unpickle what is theirs when they are imported
    with heard() as events:
        assert read_store(mined) == []
    assert events == []
    assert not sprung.exists()


def test_objects_are_named_and_loaded_by_a_call_that_says_so(
    mined: Path, sprung: Path, heard
) -> None:
    assert tk.open(mined).attrs["objects"] == ["model"]
    assert "model" not in tk.open(mined).variables
    with heard() as events:
        tk.load_objects(mined, "model", flat=True, run=0)
    assert events  # the watch hears what is unpickled
    assert sprung.is_dir()


@pytest.mark.parametrize(
    "command",
    [
        "status {0}", "status {0} --json", "errors {0}", "errors {0} --group", "errors {0} --id 1",
        "errors {0} --json", "export {0} {0}.csv", "export {0} {0}.nc", "run {0}", "explain {0}",
        "retry {0}", "reproduce {0} --run 0", "retry {0} --yes", "reproduce {0} --run 0 --yes",
        "log {0}", "log {0} --run 0", "check {0}", "report {0} --output {0}.html",
    ],
)  # fmt: skip
def test_no_command_on_a_store_unpickles(
    mined: Path, sprung: Path, specimen, heard, command: str
) -> None:
    CliRunner().invoke(main, command.format(specimen("folded")).split(), prog_name="toolkit")
    with heard() as events:
        done = CliRunner().invoke(main, command.format(mined).split(), prog_name="toolkit")
    assert done.exit_code in (0, 2), done.output
    assert "fault of the toolkit" not in done.output
    assert events == []
    assert not sprung.exists()


def test_a_store_of_another_program_with_pickles_in_it_is_refused(
    specimen, sprung: Path, bomb: bytes
) -> None:
    path = specimen("folded")
    document = json.loads((path / "zarr.json").read_text())
    array = document["consolidated_metadata"]["metadata"]["peak"]
    array |= {"data_type": "object", "codecs": [{"name": "pickle"}]}
    (path / "zarr.json").write_text(json.dumps(document))
    shutil.rmtree(path / "peak")
    (path / "peak").mkdir()
    (path / "peak/c.0").write_bytes(bomb)
    with pytest.raises(tk.ToolkitError, match="array peak has type 'object'"):
        tk.open(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [{0}]",
        "!!python/object/new:os.mkdir [{0}]",
        "!!python/name:os.mkdir",
        "!!python/module:os",
        "!!python/tuple [1]",
    ],
)
def test_a_profile_makes_no_objects(tmp_path: Path, sprung: Path, value: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"kind: local\ndashboard: {value.format(sprung)}\n")
    with pytest.raises(tk.ToolkitError, match="not readable as YAML"):
        load_profile(path)
    assert not sprung.exists()
    if "apply" in value:
        yaml.unsafe_load(path.read_text())  # it works
        assert sprung.is_dir()
