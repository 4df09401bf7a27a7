"""That the benchmarks still run: a few hundred runs, no cluster, nothing timed."""

import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.slurm.machine import is_installed

FOLDER = Path(__file__).parent / "benchmarks"
RUNS = 200


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Import parts of the benchmarks, which are a script and not a package."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_script", FOLDER / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.parametrize("name", ["wide-2k", "vectorized-1m"])
def test_a_case_is_measured_with_values_like_those_of_pool(part, tmp_path, name) -> None:
    cases, measure, duel = part("cases"), part("measure"), part("duel")
    case = cases.case_named(name)
    contender = part("contenders").ToolkitHere()
    ours = measure.measured_run(contender, case, RUNS, tmp_path / "ours")
    with part("seat").Seat("pool", tmp_path / "pool") as seat:
        seat.ask("start", limit=60)
        seat.pause()
        theirs = seat.ask("run", case=name, runs=RUNS, limit=60)
    grid = cases.grid_of(case, RUNS)
    assert ours["digest"] == theirs["digest"]
    assert ours["runs"] == theirs["runs"] == len(grid)
    assert ours["inodes"] > theirs["inodes"] == 0

    row = duel.Row(contender="toolkit", runs=RUNS, pairs=[ours])
    pool = duel.Row(contender="pool", runs=RUNS, pairs=[theirs])
    row.measures |= {key: ours[key] for key in ("inodes", "bytes")}
    row.measures |= measure.reading(contender, case, grid, tmp_path / "ours")
    duel.summarize(row, pool, case)
    table = part("table").table(case, [pool, row])
    for column in ("wall/Pool", "CPU/Pool", "inodes", "kB", "open first", "select", "reduce"):
        assert column in table
    assert len([line for line in table.splitlines() if line.startswith("toolkit")]) == 1


def test_memory_growth_is_measured_after_the_first_wave(part, tmp_path) -> None:
    case = next(case for case in part("cases").CASES if case.watches_memory)
    grid = part("cases").grid_of(case, RUNS)
    growth = part("contenders").ToolkitHere().growth(case, grid, tmp_path)
    assert growth is not None
    assert growth < 500


def test_a_contender_that_fails_says_why(part, tmp_path) -> None:
    with part("seat").Seat("pool", tmp_path) as seat:
        seat.ask("start", limit=60)
        with pytest.raises(part("seat").SeatError, match="not among the cases"):
            seat.ask("run", case="planted", runs=RUNS, limit=60)


def test_the_command_explains_its_options(part, capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        _script().main(["--help"])
    assert "--only" in capsys.readouterr().out


def test_the_engine_makes_a_batch_of_each_slow_run_and_few_files(part, tmp_path) -> None:
    found = part("engine").stood_in(500, 100, 10.0, tmp_path)
    assert found["batches"] == 500
    assert found["messages"] <= 5
    [store] = tmp_path.glob("*.zarr")
    inodes, _ = part("measure").folder_size(store)
    assert inodes <= 1 + 6 + 50


@pytest.mark.parametrize("case", ["small", "deep", "large"])
def test_trees_hold_what_sweeps_hold(part, tmp_path, case) -> None:
    pytest.importorskip("h5py")
    trees = part("trees")
    for way in trees.WAYS:
        row = trees.measured(way, case, 20, tmp_path / way)
        assert row["inodes"] >= (20 if way == "netCDF" else 1)


def test_ten_million_runs_are_described_in_no_time_and_written_by_plain_loops(
    part, tmp_path
) -> None:
    scale = part("scale")
    assert len(scale.sweep_of(10_000_000, None).space) == 10_000_000
    scale.with_zarr(2000, tmp_path)
    scale.with_memmap(2000, tmp_path)
    sweep = scale.sweep_of(2000, tmp_path / "sweep.zarr")
    found = sweep.run(progress=False).added.to_numpy().ravel()
    assert found.tolist() == scale.np.load(tmp_path / "plain.npy").tolist()
    assert found.tolist() == scale.zarr.open(tmp_path / "plain.zarr")[:].tolist()


def test_durability_is_measured_on_both_kinds_of_appends(part, tmp_path) -> None:
    durability = part("durability")
    assert durability.appended(3, tmp_path, synchronized=True) > 0
    assert len(durability.sweeps(0.01)) == 3


def test_the_ideal_packing_of_the_replay_is_one(part) -> None:
    study = part("replay_study")
    found = study.study_of(600)
    seconds, nodes = found.seconds.ravel(), study.NODES * study.CORES
    assert len(found) == 600
    assert (seconds.min(), seconds.max() > 85) == (0.1, True)
    assert [(seconds > 60).sum(), (found.megabytes > study.SMALL_MB).sum()] == [18, 30]
    assert found.is_large.sum() == 48
    least = found.core_seconds / nodes
    assert least <= study.ideal_seconds(found) <= 1.1 * least
    assert 150 < least < 240


def test_what_jobs_took_is_parted_by_what_ran_in_them(part, tmp_path) -> None:
    jobs = part("replay_jobs")
    events = [
        ("1", 0, "began", 104.0),
        ("1", 0, "ended", 110.0),
        ("1", 1, "began", 112.0),  # killed, and another one in the same job
        ("1", 2, "began", 115.0),
        ("1", 2, "ended", 118.0),
        ("2", 1, "began", 103.0),  # killed with its job
    ]
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    found = jobs.spent(
        [
            jobs.Job(number="1", begins=100.0, ends=120.0, cores=1),
            jobs.Job(number="2", begins=100.0, ends=110.0, cores=2),
            jobs.Job(number="3", begins=100.0, ends=105.0, cores=1),  # no run ever began in it
        ],
        log,
    )
    assert (found.jobs, found.booked) == (3, 45.0)
    assert (found.useful, found.starting) == (9.0, 4.0 + 6.0 + 5.0)
    assert (found.killed, found.idle) == (3.0 + 14.0, 4.0)


@pytest.mark.slurm
@pytest.mark.skipif(not is_installed(), reason="SLURM is not installed")
def test_the_replay_runs_on_slurm(tmp_path) -> None:
    small = ["--points", "60", "--speed", "60", "--submitted", "5", "--jobs", "2"]
    done = subprocess.run(
        [
            sys.executable,
            FOLDER / "replay.py",
            *small,
            "--json",
            tmp_path / "found",
            "--only",
            "toolkit",
            "two passes",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "found").read_text())["rows"]
    for row in rows:
        found = row["spent"]
        parts = sum(found[name] for name in ("useful", "starting", "killed", "idle"))
        assert found["jobs"] > 0
        assert abs(found["booked"] - parts) < 1e-6
    assert [row["contender"] for row in rows] == ["toolkit", "two passes"]
    assert "5 runs handed out" in done.stdout


_STAND_IN = """
import json, sys
print("A banner of the package")
print(json.dumps({"numpy": sys.argv[1]}), flush=True)
for line in sys.stdin:
    beta, seed = line.split()
    print(json.dumps({"infections": 100 * float(beta) + int(seed)}), flush=True)
"""


def test_another_simulator_is_asked_line_by_line(part, tmp_path) -> None:
    pytest.importorskip("torch", reason="no PyTorch")
    script = tmp_path / "there.py"
    script.write_text(_STAND_IN)
    peer = part("outbreaks").Peer(Path(sys.executable), "starsim", script)
    assert peer.versions == {"numpy": "starsim"}
    assert [peer.run(0.5, seed) for seed in (1, 2)] == [{"infections": 51.0}, {"infections": 52.0}]
    peer.end()
    script.write_text("raise SystemExit(3)")
    with pytest.raises(RuntimeError, match="ended with 3"):
        part("outbreaks").Peer(Path(sys.executable), "starsim", script)


def test_beta_is_sought_for_as_many_infections(part) -> None:
    pytest.importorskip("torch", reason="no PyTorch")
    outbreaks = part("outbreaks")
    runner = outbreaks.runner_like("covasim", part("simulation").network_of(2000))
    seen = lambda beta: outbreaks.infections(runner, beta, range(4))  # noqa: E731
    beta = outbreaks.beta_for(1200.0, seen, 1e-3, 0.2)
    assert seen(beta) == pytest.approx(1200.0, rel=0.1)


def test_costs_by_number_of_agents_are_those_of_a_child_process(part, capfd) -> None:
    pytest.importorskip("torch", reason="no PyTorch")
    part("outbreaks").by_size(2000, 1)
    agents, contacts, *_, infected, _ = capfd.readouterr().out.split()
    assert (agents, contacts) == ("2,000", "23,924")
    assert float(infected.rstrip("%")) > 5


def test_contenders_of_the_fit_agree_on_its_cost(part) -> None:
    for package in ("numba", "pydiffsol", "cma", "cmaes"):
        pytest.importorskip(package, reason=f"no {package}")
    fitting = part("ode_fitting")
    points = fitting.np.array([fitting.TRUE, (1.0, 0.4, 0.1, 0.4)])
    ours = fitting.problem_of("numba")(*points.T)
    assert ours[0] == pytest.approx(4550, abs=5)  # as the data were made by a loose solver
    assert fitting.Diffsol("tsit45")(points) == pytest.approx(ours, rel=0.02)
    assert fitting._by_hand(points) == pytest.approx(ours, rel=1e-6)


@pytest.mark.long
def test_cmaes_meets_the_targets_of_bbob_in_the_table(part, tmp_path, capsys, monkeypatch) -> None:
    pytest.importorskip("ioh")
    pytest.importorskip("cma")
    bbob = part("bbob")
    monkeypatch.setattr(bbob, "SEEDS", {2: 1})
    monkeypatch.setattr(bbob, "INSTANCES", range(1, 2))
    monkeypatch.setattr(bbob, "PER_DIM", 100)
    out = tmp_path / "reached.jsonl"
    bbob.measure(out, ["ours", "pycma"])
    held = bbob.read(out)
    assert len(held) == 48
    assert held[("ours", 5, 2, 1, 0)].max() < 200  # a linear slope is solved
    assert (bbob.read(out, is_first=True)[("ours", 1, 2, 1, 0)] >= held[("ours", 1, 2, 1, 0)]).all()
    before = out.read_text()
    bbob.measure(out, ["ours", "pycma"])
    assert out.read_text() == before
    bbob.table(out, is_first=False)
    assert capsys.readouterr().out.count("| multi-modal (15-19) | 2 |") == 1
