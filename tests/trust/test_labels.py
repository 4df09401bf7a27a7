"""Labels of every kind of text come through unchanged, wherever they pass."""

import csv
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toolkit as tk
from toolkit.cli import main

WORDS = (
    "", " ", "a/b", "..", "../../x", "/etc/passwd", "it's", 'say "x"', "a\nb", "a\r\nb", "\t", "\\",
    "é", "日本", "🎉", "\u202eabc", "\u200f", "\ufeff", "e\u0301", "1", "-0.0", "1e5", "NaN", "nan",
    "true", "None", "2024-01-01", "a,b", ",", "a:b", ":", "1:2:3", "a=b", "=", "-", "--yes",
    "$(touch pwned)", "`touch pwned`", "; touch pwned", "| touch pwned", "%2F", "\x1b[31m", "\x7f",
    "run", "status", "word", "x" * 10_000,
)  # fmt: skip

STUDY = f"""
import toolkit as tk

def f(word, x):
    if x == 2:
        raise ValueError(f"no {{word}}")
    return {{"n": len(word), "echo": word}}

WORDS = {WORDS!r}
sweep = tk.Sweep(f, tk.grid(word=list(WORDS), x=[1, 2]), store="s.zarr")
"""

TYPED = (
    "",
    "it's",
    "a\nb",
    "\u202eabc",
    "-0.0",
    "NaN",
    "a,b",
    "1:2:3",
    "a=b",
    "--yes",
    "$(touch pwned)",
)

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def echo(word: str, x: int) -> dict:
    if x == 2:
        raise ValueError(word)
    return {"n": len(word), "echo": word}


def invoke(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, list(arguments), prog_name="toolkit")
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a sweep over all these labels on worker processes; return its folder."""
    folder = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "labels_study.py").write_text(STUDY)
        invoke("run", "labels_study.py", "--cluster", "local", code=1)
    return folder


@pytest.fixture
def here(study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(study)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return study


def test_labels_come_back_from_workers_and_disk(here: Path) -> None:
    data = tk.open("s.zarr").load()
    assert data.word.values.tolist() == list(WORDS)
    for word in WORDS:
        assert data.echo.sel(word=word, x=1).item() == word
        assert data.n.sel(word=word, x=1).item() == len(word)
    assert tk.failures("s.zarr").word.tolist() == list(WORDS)
    plain = xr.open_zarr("s.zarr")
    assert set(plain.word.values.tolist()) == set(WORDS)


@pytest.mark.parametrize("word", TYPED)
def test_each_label_can_be_typed(here: Path, word: str) -> None:
    found = invoke("reproduce", "labels_study.py", f"word={word}", "x=1")
    assert found.strip() == repr({"n": len(word), "echo": word}) or len(word) > 100
    assert "2 stored" in (
        text := invoke("explain", "labels_study.py", "--sel", f"word={word}")
    ) or ("1 stored" in text)


def test_what_a_command_says_to_type_next_is_quoted_for_a_shell(specimen) -> None:
    path = specimen("staged")
    odd = path.with_name("it's; $(touch pwned) x.zarr")
    path.rename(odd)
    said = invoke("status", str(odd)) + invoke("errors", str(odd))
    following = [line for line in said.splitlines() if "toolkit errors" in line]
    assert len(following) == 2
    for line in following:
        assert str(odd) in shlex.split(line), line


def test_labels_come_through_every_reader(here: Path) -> None:
    errors = json.loads(invoke("errors", "s.zarr", "--json"))["errors"]
    assert [each["labels"]["word"] for each in errors] == list(WORDS)
    for text in (
        invoke("errors", "s.zarr"),
        invoke("status", "s.zarr"),
        invoke("errors", "s.zarr", "--id", "1"),
    ):
        assert not set(text) & {"\x1b", "\x7f", "\u202e", "\r"}
    invoke("export", "s.zarr", "out.csv")
    with open("out.csv", newline="", encoding="utf-8") as file:
        assert {row["word"] for row in csv.DictReader(file)} == set(WORDS)
    invoke("export", "s.zarr", "out.nc")
    with xr.open_dataset("out.nc") as data:
        assert data.word.values.tolist() == list(WORDS)
    assert sorted(path.name for path in here.iterdir() if not path.name.startswith("_")) == [
        "labels_study.py", "out.csv", "out.nc", "s.zarr",
    ]  # fmt: skip


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(TEXT, min_size=1, max_size=6, unique=True))
def test_any_text_is_a_label(tmp_path: Path, words: list[str]) -> None:
    path = tmp_path / "s.zarr"
    shutil.rmtree(path, ignore_errors=True)
    sweep = tk.Sweep(echo, tk.grid(word=words, x=[1, 2]), store=path)
    sweep.run(progress=False)
    data = tk.open(path).load()
    assert data.word.values.tolist() == words
    assert data.echo.sel(x=1).values.tolist() == words
    assert tk.failures(path).message.tolist() == words
    again = sweep.run(progress=False)
    assert (again.attempts == 1).all()
    assert sweep.reproduce(word=words[-1], x=1)["echo"] == words[-1]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TEXT)
def test_any_name_is_kept_or_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s.zarr"
    shutil.rmtree(path, ignore_errors=True)

    def count(**given):
        return {"value": float(given[name])}

    try:
        tk.Sweep(count, tk.grid({name: [1, 2]}), store=path).run(progress=False)
    except tk.ToolkitError:
        return
    assert tk.open(path).value.sel({name: 2}).item() == 2.0
    assert {entry.name for entry in tmp_path.iterdir()} == {"s.zarr"}


@pytest.mark.parametrize("word", ["a\0", "a\0b", "\ud800", "x\udc80"])
def test_what_no_file_keeps_is_no_label(word: str) -> None:
    for axis in ([word], ["a", word], np.array(["b", word + "c"]), {word: object()}):
        with pytest.raises(tk.SpaceError, match="cannot be a label"):
            tk.grid(x=axis)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.datetime64("NaT", "ns")])
def test_what_equals_nothing_is_no_label(value: object) -> None:
    with pytest.raises(tk.SpaceError, match="has the non-finite value"):
        tk.grid(x=[value])


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"

    def sign(x):
        return float(np.copysign(1.0, x))

    tk.Sweep(sign, tk.grid(x=[-0.0, 1.0]), store=path).run(progress=False)
    again = tk.Sweep(sign, tk.grid(x=[0.0, 1.0]), store=path).run(progress=False)
    assert (again.attempts == 1).all()
    assert again.sign.sel(x=-0.0).item() == 1.0
    with pytest.raises(tk.SpaceError, match="more than once"):
        tk.grid(x=[-0.0, 0.0])


def test_names_of_files_that_are_no_text_do_not_stop_a_sweep(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["run\udcff.py", "\udc80"])

    def f(a):
        return float(a)

    tk.Sweep(f, tk.grid(a=[1]), store=tmp_path / "s.zarr").run(progress=False)
    assert tk.open(tmp_path / "s.zarr").f.item() == 1.0


def test_a_file_that_a_store_names_is_one_word_for_a_shell(specimen) -> None:
    path = specimen("staged")
    document = json.loads((path / "zarr.json").read_text())
    script = {"file": "/x; touch pwned #.py", "name": "sweep", "content": "0"}
    document["attributes"]["provenance"]["script"] = script
    (path / "zarr.json").write_text(json.dumps(document))
    said = invoke("errors", str(path)) + invoke("status", str(path))
    done = CliRunner().invoke(main, ["retry", str(path)], prog_name="toolkit")
    following = [line for line in (said + done.stderr).splitlines() if "toolkit re" in line]
    assert len(following) >= 3
    for line in following:
        assert "/x; touch pwned #.py:sweep" in shlex.split(line), line
