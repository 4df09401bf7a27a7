import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import toolkit as tk
from toolkit.stages.command_process import launchers

PYTHON = Path(sys.executable)
SAY_ARGUMENTS = "import json, sys; print(json.dumps({'said': json.dumps(sys.argv[1:])}))"
SAY_INPUT = "import json, sys; print(json.dumps({'said': sys.stdin.read()}))"


def python(code, *arguments, **options):
    return tk.command(
        [PYTHON, "-c", code.replace("{", "{{").replace("}", "}}"), *arguments], **options
    )


def said(stage, **values):
    import json

    return json.loads(stage(**values)["said"])


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_compiled_program_is_swept(simulator, here):
    shutil.copy(simulator, here / "sim")
    sim = tk.command("./sim --flow {flow} --steps {steps}")
    data = tk.Sweep(sim, tk.grid(flow=[0.1, 0.2, 0.3], steps=50)).run(progress=False)
    steps = np.arange(50)
    heights = np.exp(-0.02 * steps) * np.cos(0.2 * steps)
    assert data["mean"].sel(flow=0.2).item() == pytest.approx(heights.mean(), rel=1e-12)
    assert data["mean"].dims == ("flow",)
    assert sim.name == "sim"


def test_a_file_is_read_by_its_suffix(simulator):
    sim = tk.command(
        [simulator, "--flow", "{flow}", "--out", "{scratch}/wave.csv"],
        read="wave.csv",
        outputs={"time": ("step",), "height": ("step",)},
    )
    data = tk.Sweep(sim, tk.grid(flow=[0.1, 0.2])).run(progress=False)
    assert data.height.dims == ("flow", "step")
    assert data.time.dtype == np.int64
    assert data.height.sel(flow=0.1, step=10).item() == np.exp(-0.2) * np.cos(1.0)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
@settings(max_examples=25)
def test_a_value_is_one_argument_whatever_is_in_it(text):
    echo = python(SAY_ARGUMENTS, "{text}", "--text={text}")
    assert said(echo, text=text) == [text, f"--text={text}"]


@pytest.mark.parametrize(
    "text",
    ["a b", "'", '"', "a\nb", "-rf", "$HOME", "$(id)", "; id", "*", "{x}", "\\", "", "é – 漢"],
)
def test_no_shell_sees_a_value(text):
    template = f"{sys.executable} -c '{SAY_ARGUMENTS}'".replace("'said'", '"said"')
    template = template.replace(
        '{"said": json.dumps(sys.argv[1:])}', "dict(said=json.dumps(sys.argv[1:]))"
    )
    echo = tk.command(template + " --text {text}", name="echo")
    assert said(echo, text=text) == ["--text", text]


def test_a_value_with_a_zero_byte_fails_its_run():
    with pytest.raises(tk.CommandError, match="zero byte"):
        python(SAY_ARGUMENTS, "{text}")(text="a\0b")


def test_values_are_formatted_as_python_does():
    echo = python(SAY_ARGUMENTS, "{flow}", "{flow:.3f}", "{n:04d}", "{on:d}", "{{{flow}}}", "{day}")
    values = dict(flow=np.float64(0.1), n=np.int64(7), on=True, day=np.datetime64("2020-01-02"))
    assert said(echo, **values) == ["0.1", "0.100", "0007", "1", "{0.1}", "2020-01-02"]


def test_arrays_come_as_files_or_json():
    code = (
        "import json, sys; from pathlib import Path; npy, txt, raw, text = sys.argv[1:]; "
        "print(json.dumps({'same': len(Path(raw).read_bytes()), 'lines': Path(txt).read_text(), "
        "'first': list(Path(npy).read_bytes()[1:6]), 'text': text}))"
    )
    stage = python(code, "{v:npy}", "{v:txt}", "{v:bin}", "{v:json}")
    result = stage(v=np.array([1.5, 2.5]))
    assert bytes(result["first"].tolist()) == b"NUMPY"
    assert (result["same"], result["lines"], result["text"]) == (16, "1.5\n2.5\n", "[1.5, 2.5]")


@pytest.mark.parametrize("value", [np.arange(3), [1, 2], {"a": 1}, None, b"x", object()])
def test_a_value_without_a_text_fails_its_run(value):
    with pytest.raises(tk.StageError, match="no text stands for that"):
        python(SAY_ARGUMENTS, "{v}")(v=value)


def test_names_that_python_has_no_argument_for_are_matched():
    echo = python(
        SAY_ARGUMENTS, "{lambda}", "{layer.0.R2}", read=lambda stdout: len(stdout), name="e"
    )
    data = tk.Sweep(echo, tk.grid({"lambda": [1, 2], "layer.0.R2": [0.5]})).run(progress=False)
    assert dict(data.sizes) == {"lambda": 2, "layer.0.R2": 1}


def test_outputs_of_other_stages_and_frozen_inputs_are_taken():
    def double(x):
        return {"twice": 2 * x, "rates": np.full(3, x)}

    first = tk.stage(double, outputs={"twice": float, "rates": ("k",)})
    code = (
        "import json, sys; one, many, table = map(json.loads, sys.argv[1:]); "
        "print(json.dumps({'sum': one + sum(many), 'n': len(table)}))"
    )
    second = python(code, "{twice}", "{rates:json}", "{table:json}", name="second")
    frozen = {"table": np.arange(5.0)}
    data = tk.Sweep([first, second], {"x": [1.0, 2.0]}, frozen=frozen).run(progress=False)
    assert data["sum"].values.tolist() == [5.0, 10.0]
    assert data.n.values.tolist() == [5, 5]


def test_missing_and_ambiguous_names_are_errors_before_anything_runs(here):
    touch = tk.command([PYTHON, "-c", "open('{where}/ran', 'w')", "{flow}", "{threads}"], name="t")
    with pytest.raises(tk.StageError, match="'flow', and nothing provides it"):
        tk.Sweep(touch, tk.grid(where=str(here), flo=[1])).run(progress=False)
    with pytest.raises(tk.StageError, match="Nothing uses 'speed'"):
        tk.Sweep(touch, tk.grid(where=str(here), flow=[1], speed=[1])).run(progress=False)
    with pytest.raises(tk.StageError, match="'threads' has two sources"):
        tk.Sweep(touch, tk.grid(where=str(here), flow=[1], threads=[1])).run(progress=False)
    assert not (here / "ran").exists()


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("no-such-program {x}", "no program 'no-such-program' on PATH"),
        ("./no-such-program {x}", "no program"),
        ("env {x} > out.txt", "only a shell understands"),
        ("env | sort", "only a shell understands"),
        ("env '{x}", "cannot be split"),
        ("env {x", "is no template"),
        ("env {}", "without a name"),
        ("env {0}", "without a name"),
        ("env {x!z}", "!z"),
        ("", "empty"),
        ([], "empty"),
        (["env", 3], "of type int"),
        (["env", Path("no-such-file")], "there is no file"),
        (3, "text or a list"),
        ("{program} {x}", "depends on the run"),
        ("env {a.b} {a_b}", "too much alike"),
    ],
)
def test_a_command_that_cannot_be_is_refused(command, complaint):
    with pytest.raises(tk.StageError, match=complaint):
        tk.command(command)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"read": "out.xyz"}, r"\.json"),
        ({"read": 3}, "of type int"),
        ({"stdin": 3}, "of type int"),
        ({"stdin": Path("no-such-file")}, "there is no file"),
        ({"files": {"../x": ""}}, "name of a file in the scratch"),
        ({"files": {"/x": ""}}, "name of a file in the scratch"),
        ({"files": {"stdout.txt": ""}}, "own output"),
        ({"env": {"A=B": ""}}, "no name of a variable"),
        ({"env": {"A": [1]}}, "of type list"),
    ],
)
def test_an_option_without_a_meaning_is_refused(options, complaint):
    with pytest.raises(tk.StageError, match=complaint):
        tk.command("env", **options)


@pytest.mark.parametrize(
    ("stdin", "expected"),
    [
        ("flow = {flow:.2f}\n", "flow = 0.50\n"),
        ({"flow": "{flow}", "n": [1, "{name}-x"]}, '{"flow": 0.5, "n": [1, "a-x"]}\n'),
        (lambda flow, name: f"{name}={flow}", "a=0.5"),
        (lambda flow, name: b"bytes", "bytes"),
    ],
)
def test_standard_input(stdin, expected):
    stage = python(SAY_INPUT, "{flow}", "{name}", stdin=stdin)
    assert stage(flow=0.5, name="a")["said"] == expected


def test_input_files_lie_in_the_scratch_folder(simulator, here):
    (here / "table.dat").write_text("1 2 3")
    code = "import json; print(json.dumps({n: open(n).read() for n in ('in/a.json', 'b.dat')}))"
    stage = python(code, files={"in/a.json": {"v": "{v}"}, "b.dat": Path("table.dat")})
    assert stage(v=np.arange(2)) == {"in/a.json": '{"v": [0, 1]}\n', "b.dat": "1 2 3"}
    sim = tk.command(
        [simulator, "--input", "in.nml"], files={"in.nml": "flow = {flow}\n"}, read=lambda stdout: 1
    )
    assert sim(flow=0.5) == 1


def test_the_environment_is_added_to(monkeypatch):
    monkeypatch.setenv("TO_GO", "here")
    code = (
        "import json, os; names = ('FLOW', 'TO_GO', 'OMP_NUM_THREADS'); "
        "print(json.dumps({name: os.environ.get(name, '-') for name in names}))"
    )
    stage = python(
        code,
        "{threads}",
        env={"FLOW": "{flow:.1f}", "TO_GO": None},
        name="e",
        resources=tk.Resources(threads=2),
    )
    data = tk.Sweep(stage, tk.grid(flow=[0.25])).run(progress=False)
    assert [data[name].item() for name in ("FLOW", "TO_GO", "OMP_NUM_THREADS")] == ["0.2", "-", "2"]


@pytest.mark.parametrize(
    ("code", "read", "expected"),
    [
        ("print(1.5)", "stdout", 1.5),
        ("print('NaN')", "stdout", np.nan),
        ("print([1, 2])", "stdout", np.array([1, 2])),
        ("print('x' * 3_000_000)", lambda stdout: len(stdout), 3_000_001),
        ("import sys; sys.stderr.write('warned')", lambda stderr: stderr, "warned"),
        ("open('a.txt', 'w').write('1 2')", "a.txt", np.array([1.0, 2.0])),
        ("open('a.json', 'w').write('[true]')", "a.json", np.array([True])),
        ("open('a.bin', 'w').write('12')", lambda folder: (folder / "a.bin").read_text(), "12"),
        (
            "print(3); open('a.json', 'w').write('4')",
            {"a": "stdout", "b": "a.json"},
            {"a": 3, "b": 4},
        ),
    ],
)
def test_what_is_read(code, read, expected):
    result = python(code, read=read)()
    np.testing.assert_equal(result, expected)


def test_a_reader_takes_parameters_and_the_name_of_a_file_fields():
    code = "import sys; open('out_' + sys.argv[1] + '.json', 'w').write('7')"
    assert python(code, "{n}", read="out_{n}.json")(n=3) == 7
    stage = python(code, "{n}", read=lambda folder, offset: len(list(folder.iterdir())) + offset)
    assert stage.signature.names == ("n", "offset")
    assert stage(n=3, offset=100) == 103  # its file, stdout.txt and stderr.txt


def test_effects_read_nothing():
    assert python("print('no JSON')", outputs="effects")() is None


@pytest.mark.parametrize(
    ("code", "read", "complaint"),
    [
        ("print('done')", None, "not one JSON value.*done"),
        ("open('other.json', 'w')", "a.json", "has not written .*there are: other.json"),
        ("open('a.csv', 'w')", "a.csv", "is empty"),
        ("open('a.csv', 'w').write('a,b\\n1\\n')", "a.csv", "Not all lines"),
    ],
)
def test_results_that_are_not_there_fail_the_run(code, read, complaint):
    with pytest.raises(tk.CommandError, match=complaint):
        python(code, read=read)()


def test_a_failure_keeps_exit_code_stderr_and_scratch(simulator):
    sim = tk.command([simulator, "--flow", "{flow}", "--exit", "{code}"])
    sweep = tk.Sweep(sim, tk.zipped("case", flow=[0.1, 0.2], code=[0, 3]))
    sweep.run(progress=False)
    (failure,) = sweep.failures().to_dict("records")
    assert failure["exception"] == "toolkit.errors.CommandError"
    assert (failure["exit_code"], failure["log"]) == (3, "no solution at flow 0.2\n")
    assert "ended with exit code 3" in failure["message"]
    assert "no solution at flow 0.2" in failure["message"]
    folder = Path(failure["traceback"].partition("Its files are kept in ")[2].strip().rstrip("."))
    assert (folder / "stderr.txt").read_text() == failure["log"]
    shutil.rmtree(folder)
    with pytest.raises(tk.CommandError, match="exit code 3"):
        sweep.reproduce(case=1)
    assert sweep.reproduce(case=0)["peak"] == 1


def test_a_crash_is_told_by_its_signal(simulator):
    with pytest.raises(tk.CommandError, match="killed by signal SIGSEGV") as caught:
        tk.command([simulator, "--crash"])()
    assert caught.value.exit_code == -11
    assert pickle.loads(pickle.dumps(caught.value)).exit_code == -11


def test_folders_of_few_failed_runs_are_kept_and_of_others_none(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("toolkit.stages.current.MOST_KEPT", 2)
    code = "import sys; print(1); sys.exit(int(sys.argv[1]) % 2)"
    sweep = tk.Sweep(python(code, "{x}", name="kept_few"), {"x": range(10)})
    sweep.run(progress=False)
    assert len(list(tmp_path.glob("kept_few-*"))) == 2
    notes = sweep.failures().traceback
    assert sum("are kept in" in note for note in notes) == 2
    assert sum("not kept" in note for note in notes) == 3


def test_megabytes_of_chatter_are_cut_in_the_middle(simulator):
    sim = tk.command(
        [simulator, "--flow", "0.1", "--chatter", "8"],
        read=lambda scratch: (
            (scratch / "stderr.txt").stat().st_size,
            (scratch / "stderr.txt").read_text()[-100:],
        ),
    )
    size, end = sim()
    assert 2 << 20 <= size < (2 << 20) + 100
    assert float(end) == 8e6 - 100


def test_what_a_program_leaves_behind_is_killed(simulator, tmp_path):
    sim = tk.command([simulator, "--flow", "1", "--pids", "{where}/pids"])
    sim(where=tmp_path)
    pids = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    assert [pid for pid in pids if os.path.exists(f"/proc/{pid}")] == []
    assert launchers()


def test_memory_of_the_program_counts(simulator):
    sim = tk.command([simulator, "--flow", "1", "--memory", "{mb}", "--sleep", "0.05"])
    data = tk.Sweep(sim, tk.zipped("case", mb=[1, 1, 1, 300, 1, 200])).run(
        progress=False, order="given"
    )
    peak = data.peak_memory.values / 1e6
    assert 280 < peak[3] - peak[4] < 305
    assert 180 < peak[5] - peak[4] < 205  # though an earlier one was larger


def test_a_program_compiled_anew_makes_results_stale(simulator, here):
    program = here / "sim"
    shutil.copy(simulator, program)
    sweep = tk.Sweep(tk.command("./sim --flow {flow}"), {"flow": [0.1]}, store="s.zarr")
    sweep.run(progress=False)
    assert "$ ./sim --flow {flow}" in str(sweep.explain())
    assert sweep.explain().total.stale == 0
    program.write_bytes(program.read_bytes() + b"\0")
    assert sweep.explain().total.stale == 1
    assert "file 'sim' changed" in str(sweep.explain())
    versioned = tk.command("./sim --flow {flow}", version=1)
    before = versioned.code
    program.write_bytes(program.read_bytes() + b"\0")
    assert versioned.code == before


@pytest.mark.parametrize(
    "other",
    [
        dict(env={"A": "1"}),
        dict(stdin="{flow}"),
        dict(files={"a": "b"}),
        dict(read="a.json"),
        dict(read=lambda folder: 2),
    ],
)
def test_options_that_change_what_results_mean_count_as_code(other):
    plain = dict(read=lambda folder: 1)
    assert (
        tk.command("env {flow}", **plain).code
        != tk.command("env {flow}", **{**plain, **other}).code
    )
    assert tk.command("env {flow}", **other).code == tk.command("env {flow}", **other).code


def test_a_script_that_changes_counts_too(here):
    script = here / "model.py"
    script.write_text("print(1)")
    stage = tk.command([sys.executable, "model.py", "{x}"])
    before = stage.code
    assert (stage.name, stage(x=1)) == ("model", 1)
    script.write_text("print(2)")
    assert stage.code.changes(before.parts) == ["file 'model.py'"]


def test_an_unpickled_command_refuses_a_program_that_has_changed(simulator, here):
    program = here / "sim"
    shutil.copy(simulator, program)
    stage = tk.command("./sim --flow {flow}")
    there = pickle.loads(pickle.dumps(stage.function))
    assert there(flow=0.1)["peak"] == 1
    os.utime(program)
    assert there(flow=0.1)["peak"] == 1
    program.write_bytes(program.read_bytes() + b"\0")
    with pytest.raises(tk.CommandError, match="has changed since the sweep was started"):
        there(flow=0.1)
    assert stage(flow=0.1)["peak"] == 1


def test_what_is_sent_after_a_change_is_refused_until_the_code_is_looked_at_again(simulator, here):
    program = here / "sim"
    shutil.copy(simulator, program)
    stage = tk.command("./sim --flow {flow}")
    before = stage.code
    program.write_bytes(program.read_bytes() + b"\0")
    there = pickle.loads(pickle.dumps(stage.function))  # as for a later wave of the same sweep
    with pytest.raises(tk.CommandError, match="has changed since the sweep was started"):
        there(flow=0.1)
    assert stage.code.changes(before.parts) == ["file 'sim'"]
    assert pickle.loads(pickle.dumps(stage.function))(flow=0.1)["peak"] == 1


def test_a_program_may_be_on_workers_only_and_differ_between_runs_with_a_version(simulator, here):
    stage = tk.command("{program} --flow {flow}", version=1, name="any")
    with pytest.raises(tk.CommandError, match=r"no program '\./sim'"):
        stage(program="./sim", flow=0.1)
    shutil.copy(simulator, here / "sim")
    assert stage(program="./sim", flow=0.1)["peak"] == 1


def test_a_program_runs_lazily(simulator):
    sim = tk.command([simulator, "--flow", "{flow}"], outputs={"peak": float, "mean": float})
    sweep = tk.Sweep(sim, {"flow": [0.1, 0.2, 0.3]})
    assert sweep.lazy().peak.sel(flow=0.2).compute().item() == 1


def test_seeds_are_given_by_field():
    sweep = tk.Sweep(
        python("import sys; print(int(sys.argv[1]))", "{run_seed}", name="draw"),
        tk.grid(trial=tk.replicates(3)),
    )
    seeds = sweep.run(progress=False).draw.values
    assert len(set(seeds.tolist())) == 3
    assert sweep.reproduce(trial=1) == seeds[1]


def test_whole_numbers_and_others_of_one_output_go_together():
    code = "import sys; x = float(sys.argv[1]); print('%.17g' % x)"
    for xs in ([1.0, 0.5], [0.5, 1.0]):
        data = tk.Sweep(python(code, "{x}", name="g"), {"x": xs}).run(progress=False, order="given")
        assert data.g.values.tolist() == data.x.values.tolist()
