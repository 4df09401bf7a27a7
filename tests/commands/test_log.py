# ruff: noqa: T201 - runs that print are what this is about

import json
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result

import toolkit as tk
from toolkit.commands import log
from toolkit.commands.standing import look

Toolkit = Callable[..., Result]
SCHEMAS = Path(log.__file__).parent / "schemas"


def schema(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(found)
    return found


@pytest.fixture
def store(toolkit: Toolkit, folder: Path) -> Path:
    """A store of 12 runs that print, of which one failed."""
    study = folder / "study.py"
    study.write_text(study.read_text().replace("    if beta", "    print('at', beta)\n    if beta"))
    toolkit("run study.py", code=1)
    return Path("sir.zarr")


def test_what_a_run_printed_is_shown_by_label_and_by_id(toolkit: Toolkit, store: Path) -> None:
    assert toolkit("log sir.zarr beta=.3 gamma=.1").stdout == "at 0.3\n"
    assert toolkit("log sir.zarr --run 11").stdout == "at 0.4\n"
    found = json.loads(toolkit("log sir.zarr --run 11 --json").stdout)
    assert (found["schema"], found["run"], found["text"]) == ("toolkit.log", 11, "at 0.4\n")
    assert "Add a label for gamma" in toolkit("log sir.zarr beta=.3", code=2).stderr
    assert "not by both" in toolkit("log sir.zarr beta=.3 --run 1", code=2).stderr


def test_a_failed_run_shows_what_it_printed(toolkit: Toolkit, store: Path) -> None:
    assert "at 0.4" in toolkit("errors sir.zarr --id 11").stdout
    assert tk.failures(store).log.tolist() == ["at 0.4\n"]


def test_what_a_terminal_would_obey_is_not_printed(toolkit: Toolkit, folder: Path) -> None:
    def f(x: int) -> int:
        print("\x1b[2J\x9b hidden")
        return x

    tk.Sweep(f, {"x": [1]}, store="odd.zarr").run(progress=False)
    assert toolkit("log odd.zarr x=1").stdout == "\ufffd[2J\ufffd hidden\n"


def test_without_a_run_the_events_of_the_sweep_are_shown(toolkit: Toolkit, store: Path) -> None:
    lines = toolkit("log sir.zarr").stdout.splitlines()
    assert " sweep_started " in lines[0]
    assert " sweep_ended " in lines[-1]
    assert len(toolkit("log sir.zarr --limit 2").stdout.splitlines()) == 2
    events = [json.loads(line) for line in toolkit("log sir.zarr --json").stdout.splitlines()]
    assert len(events) == len(lines)
    for event in events:
        jsonschema.validate(event, schema("event"))


@pytest.mark.parametrize("options", ["", " --watch"])
def test_status_as_json_keeps_to_its_schema(toolkit: Toolkit, store: Path, options: str) -> None:
    code = 1 if options else 0
    found = json.loads(toolkit(f"status sir.zarr --json{options}", code=code).stdout)
    jsonschema.validate(found, schema("status"))
    described = schema("status")["properties"]
    assert isinstance(described, dict)
    assert set(found) <= set(described)


def test_status_of_a_store_that_is_run_keeps_to_it_too(store: Path) -> None:
    from toolkit.stores.files.lock import Lock
    from toolkit.views.plain import plain

    lock = Lock(str(store.absolute()))
    lock.acquire()
    try:
        document = look(store).document()
    finally:
        lock.release()
    head = {"schema": "toolkit.status", "version": 1}
    jsonschema.validate(plain(head | document), schema("status"))
    assert document["driver"] is not None


def test_the_schema_refuses_what_it_should(toolkit: Toolkit, store: Path) -> None:
    found = json.loads(toolkit("status sir.zarr --json").stdout)
    for wrong in ({"version": 2}, {"driver": {}}, {"total": {}}, {"is_running": None}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(found | wrong, schema("status"))


def test_status_agrees_with_that_of_the_package(toolkit: Toolkit, store: Path) -> None:
    found = json.loads(toolkit("status sir.zarr --json").stdout)
    table = tk.status(store)
    assert [row.pop("stage") for row in found["stages"]] == list(table.index)
    assert found["stages"] == table.to_dict("records")
    assert found["total"] == table.sum().to_dict()


def test_a_run_without_a_word_is_told_from_one_that_was_not_run(
    toolkit: Toolkit, store: Path
) -> None:
    def f(x: int) -> int:
        return x

    sweep = tk.Sweep(f, {"x": [1, 2]}, store="quiet.zarr")
    sweep.run(progress=False)
    sweep.sel(x=2).forget()
    assert "has said nothing" in toolkit("log quiet.zarr x=1").stderr
    assert "has not been run" in toolkit("log quiet.zarr x=2").stderr


def test_a_program_that_failed_is_heard(toolkit: Toolkit, folder: Path) -> None:
    code = "import sys; print('no solution', file=sys.stderr); sys.exit(int(sys.argv[1]))"
    stage = tk.command([sys.executable, "-c", code, "{x}"], name="solve", outputs="effects")
    sweep = tk.Sweep(stage, {"x": [0, 3]}, store="solved.zarr")
    sweep.run(progress=False)
    assert toolkit("log solved.zarr x=3").stdout == "no solution\n"
    assert sweep.log_of(x=3) == "no solution\n"
    assert sweep.log_of(x=0) == ""
