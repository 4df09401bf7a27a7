import sys
from pathlib import Path

import pytest

from toolkit.commands.loading import load_sweep
from toolkit.commands.outcome import CommandError
from toolkit.commands.target import Target, content_hash, parse_target

SQUARE = "import toolkit as tk\ndef square(x):\n    return x * x\n"
ONE = SQUARE + "sweep = tk.Sweep(square, {'x': [1, 2]}, store='one.zarr')\n"


def load(text: str, folder: Path, name: str | None = None):
    (folder / "made.py").write_text(text)
    return load_sweep(Target(file=Path("made.py"), name=name))


def test_the_only_sweep_of_a_file_needs_no_name(folder: Path) -> None:
    sweep, name = load(ONE + "also = sweep\n", folder)
    assert (sweep.stages[0].name, name) == ("square", "sweep")


def test_of_several_sweeps_one_is_named(folder: Path) -> None:
    text = ONE + "other = sweep.extend(x=[3])\n"
    assert len(load(text, folder, "other")[0].space) == 3
    with pytest.raises(CommandError, match="are sweep, other") as caught:
        load(text, folder)
    assert caught.value.next_command == "toolkit explain made.py:sweep"


def test_a_file_that_runs_its_sweep_is_read_up_to_there(folder: Path) -> None:
    text = ONE + "data = sweep.run()\nlater = sweep.extend(x=[3])\n"
    assert load(text, folder)[1] == "sweep"
    assert not (folder / "one.zarr").exists()
    with pytest.raises(CommandError, match=r"read up to line 5.*__main__"):
        load(text, folder, "later")


@pytest.mark.parametrize("call", ["sweep.start()", "sweep.retry()", "sweep.sel(x=1).run()"])
def test_no_way_to_start_a_sweep_starts_it_while_its_file_is_read(folder: Path, call: str) -> None:
    load(ONE + call, folder)
    assert not (folder / "one.zarr").exists()


def test_a_sweep_runs_again_once_the_file_is_read(folder: Path) -> None:
    sweep, _ = load(ONE + "sweep.run()\n", folder)
    assert sweep.run(progress=False).square.values.tolist() == [1, 4]


def test_what_stands_under_the_guard_is_not_executed(folder: Path) -> None:
    load(ONE + "if __name__ == '__main__':\n    raise SystemExit(5)\n", folder)


def test_a_file_finds_its_neighbours_and_sees_no_arguments(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "neighbour.py").write_text("values = [1, 2, 3]\n")
    text = "import sys, neighbour\n" + ONE.replace("[1, 2]", "neighbour.values")
    (folder / "deep" / "made.py").write_text(text + "assert len(sys.argv) == 1\n")
    before = sys.argv
    sweep, _ = load_sweep(Target(file=Path("deep/made.py")))
    assert len(sweep.space) == 3
    assert sys.argv is before


def test_a_file_named_like_a_module_does_not_take_its_place(folder: Path) -> None:
    import json

    (folder / "json.py").write_text(ONE)
    load_sweep(Target(file=Path("json.py")))
    assert sys.modules["json"] is json


def test_an_edit_within_the_same_second_is_seen(folder: Path) -> None:
    assert load(ONE, folder)[0].space.sizes == {"x": 2}
    sweep, _ = load(ONE.replace("[1, 2]", "[1, 3]"), folder)
    assert sweep.space.values([1]) == {"x": [3]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1\ny = z\n", r"made.py, line 2 cannot be read: NameError"),
        ("def f(:\n", r"made.py, line 1 cannot be read"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        (SQUARE + "sweep = tk.Sweep(square, {'y': [1]})\n", r"made.py, line 4: "),
        ("raise SystemExit(0)\n", "ended itself"),
        ("sweep = 3\n", "has no sweep: write sweep = tk.Sweep"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_its_line(
    folder: Path, text: str, says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        load(text, folder)


def test_a_name_that_is_no_sweep_is_an_error_that_lists_the_sweeps(folder: Path) -> None:
    with pytest.raises(CommandError, match=r"is a function, not a sweep.*are sweep"):
        load(ONE, folder, "square")
    with pytest.raises(CommandError, match=r"made.py:swep is not there.*are sweep"):
        load(ONE, folder, "swep")


def test_targets_are_files_with_or_without_a_name_and_stores(folder: Path) -> None:
    assert parse_target("study.py") == Target(file=Path("study.py"))
    assert parse_target("study.py:a") == Target(file=Path("study.py"), name="a")
    (folder / "a:b.zarr").mkdir()
    assert parse_target("a:b.zarr") == Path("a:b.zarr")
    (folder / "odd:name.py").write_text("")
    assert str(parse_target("odd:name.py:sweep")) == "odd:name.py:sweep"


@pytest.mark.parametrize("text", ["stdy.py", "stdy.py:sweep", "study:sweep"])
def test_a_file_that_is_not_there_is_an_error_that_lists_the_files(folder: Path, text: str) -> None:
    with pytest.raises(CommandError, match=r"Found there: study\.py"):
        parse_target(text)


def test_a_name_must_be_one(folder: Path) -> None:
    with pytest.raises(CommandError, match="not the name of a variable"):
        parse_target("study.py:a b")


def test_the_hash_of_a_file_is_that_of_its_content(folder: Path) -> None:
    before = content_hash(Path("study.py"))
    Path("study.py").touch()
    assert content_hash(Path("study.py")) == before
    Path("study.py").write_text("")
    assert content_hash(Path("study.py")) != before
