"""The `toolkit` command as users meet it: help, exit codes, what goes where."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from toolkit.cli import main

COMMANDS = {
    "check", "cluster", "compact", "dash", "doctor", "errors", "explain", "export", "log",
    "report", "reproduce", "retry", "run", "scale", "status", "stop", "submit",
}  # fmt: skip

ROOT = Path(__file__).parents[1]
DOCUMENTS = (
    "docs/getting_started.md",
    "docs/how-to/clusters.md",
    "docs/how-to/command_line.md",
    "docs/how-to/leave_it_alone.md",
)

STUDY = """
import os
import toolkit as tk

def square(x):
    print("a run prints")
    os.system("echo from C")
    return x * x

print("the file prints")
sweep = tk.Sweep(square, {"x": [1, 2, 3]}, store="squares.zarr")
"""


def toolkit(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from toolkit.cli import main; main()", *shlex.split(line)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    assert set(main.commands) == COMMANDS
    assert all(name in done.output for name in COMMANDS)
    assert "3 interrupted" in done.output


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_has_help_and_no_option_without_a_word_on_it(name: str) -> None:
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0
    command = main.commands[name]
    options = [each for each in command.params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help] == []


def test_the_modules_of_the_commands_import_no_library_but_click() -> None:
    code = "import sys, toolkit.cli; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "xarray", "dask", "distributed", "pandas", "zarr", "yaml", "rich", "pydantic"}
    assert set(done.stdout.split()) & heavy == set()


def test_results_go_to_standard_output_and_all_else_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "squares.py").write_text(STUDY)
    done = toolkit("run squares.py --json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["done"] == 3
    assert {"the file prints", "a run prints", "from C"} <= set(done.stderr.splitlines())


def test_an_error_is_a_message_with_the_next_command_and_a_traceback_only_with_debug(
    tmp_path: Path,
) -> None:
    done = toolkit("explain nothing.py", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: There is no file 'nothing.py'")
    assert done.stderr.splitlines()[-1].startswith("Next: toolkit ")
    assert "Traceback" not in done.stderr
    for line in ("explain nothing.py --debug", "--debug explain nothing.py"):
        done = toolkit(line, tmp_path)
        assert done.returncode == 2
        assert "Traceback" in done.stderr


def test_color_is_for_terminals_that_want_it() -> None:
    runner, line = CliRunner(), ["explain", "nothing.py"]
    assert "\x1b" not in runner.invoke(main, line).output
    assert "\x1b" in runner.invoke(main, line, color=True, env={"NO_COLOR": ""}).output
    assert "\x1b" not in runner.invoke(main, line, color=True, env={"NO_COLOR": "1"}).output


def test_a_wrong_option_is_a_usage_error(tmp_path: Path) -> None:
    done = toolkit("run study.py --order sideways", tmp_path)
    assert done.returncode == 2
    assert "'random', 'coarse', 'given'" in done.stderr


def test_the_reader_of_a_pipe_may_leave(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -c 'from toolkit.cli import main; main()' doctor --json | head -1",
        shell=True, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_of_the_documents_can_be_typed(document: str) -> None:
    text = (ROOT / document).read_text()
    lines = re.findall(r"^\$ toolkit (.*)$", text, re.M)
    assert lines
    for line in lines:
        name, *arguments = shlex.split(line, comments=True)
        if name != "--help":
            main.commands[name].make_context(name, arguments)


def test_python_runs_the_command_too() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "toolkit", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith("toolkit, version ")
