"""The job that a driver runs in: its script is text, and what it does when its driver ends."""

import os
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import toolkit as tk
from toolkit.clusters.driver_job import DriverJob, driver_job
from toolkit.clusters.profile import load_profile
from toolkit.commands import driver_ended

QUEUE = """
kind: slurm
account: science
modules: [python/3.12]
prologue: [source "$HOME/env"]
driver: {walltime: 2d, memory: 3GB, partition: services, directives: [--exclude=n17]}
tiers: {small: {memory: 4GB, walltime: 1h}}
"""
ODD = "a'b $(touch hurt) 100%"

Ended = Callable[..., bool]


def job(folder: Path, text: str, **overrides: str | None) -> DriverJob:
    (folder / "site.yaml").write_text(text)
    return driver_job(
        load_profile(folder / "site.yaml"),
        store=folder / f"{ODD}.zarr",
        arguments=["study.py:sweep", "--sel=model=it's $HOME"],
        folder=folder,
        **overrides,
    )


def directives(made: DriverJob) -> dict[str, str]:
    lines = [line.split(" ", 1)[1] for line in made.script().splitlines() if "#SBATCH" in line]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def test_the_profile_and_then_the_command_line_say_what_the_job_asks_for(tmp_path: Path) -> None:
    asked = directives(job(tmp_path, QUEUE))
    assert asked["--time"] == "2-00:00:00"
    assert asked["--mem"] == "2862M"
    assert (asked["--cpus-per-task"], asked["--partition"]) == ("1", "services")
    assert (asked["--account"], asked["--exclude"]) == ("science", "n17")
    assert asked["--signal"] == "B:TERM@60"
    assert {"--requeue", "--dependency", "--open-mode"} <= set(asked)
    other = directives(job(tmp_path, QUEUE, walltime="90s", account="x y", partition="p"))
    assert (other["--time"], other["--signal"]) == ("00:01:30", "B:TERM@30")
    assert (other["--account"], other["--partition"]) == ("'x y'", "p")
    plain = directives(job(tmp_path, "kind: slurm\ntiers: {t: {memory: 4GB, walltime: 1h}}"))
    assert plain["--mem"] == "1908M"
    assert not {"--time", "--partition", "--account"} & set(plain)


@pytest.mark.parametrize(
    ("tiers", "asked"),
    [
        ("{a: {count: 2, threads: 2, memory: 1GB}}", {"--cpus-per-task": "5", "--mem": "3815M"}),
        ("{a: {minimum: 1, memory: 1GB, maximum: 3}}", {"--cpus-per-task": "4", "--mem": "4769M"}),
        ("{a: {count: 2}}", {"--cpus-per-task": "3"}),
        ("{a: {}}", {"--exclusive": "", "--mem": "0"}),
    ],
)
def test_with_a_profile_of_one_machine_the_job_has_room_for_its_workers(
    tmp_path: Path, tiers: str, asked: dict[str, str]
) -> None:
    found = directives(job(tmp_path, f"kind: local\ntiers: {tiers}"))
    names = ("--cpus-per-task", "--mem", "--exclusive")
    assert {name: found[name] for name in names if name in found} == asked


def test_other_job_queues_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tk.ClusterError, match=r"SLURM only.*of\s+pbs"):
        job(tmp_path, "kind: pbs\ntiers: {t: {memory: 4GB, walltime: 1h}}")


def test_the_script_is_one_that_a_shell_reads_as_it_is_meant(tmp_path: Path) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    (folder / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@" >> said\nexit 7\n')
    (folder / "python").chmod(0o755)
    made = job(folder, "kind: slurm\ntiers: {t: {memory: 4GB, walltime: 1h}}")
    script = made.script().replace(shlex.quote(made.python), shlex.quote(f"{folder}/python"))
    done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, cwd=tmp_path)
    assert done.returncode == 7, done.stderr
    said = (folder / "said").read_text().splitlines()
    assert said[:6] == [
        *(str(folder), "-m", "toolkit", "run", "study.py:sweep", "--sel=model=it's $HOME"),
    ]
    assert said[7:] == [
        *("-m", "toolkit.commands.driver_ended", str(made.store)),
        *(str(made.logs / made.name), "7", "0"),
    ]
    assert not list(tmp_path.rglob("hurt"))
    assert "100%%" in directives(made)["--output"]


def test_sigterm_is_handed_on_and_the_drivers_exit_code_is_the_jobs(tmp_path: Path) -> None:
    (tmp_path / "python").write_text(
        "#!/bin/bash\n"
        'if [ "$2" != toolkit ]; then echo "$5 $6" > told; exit 1; fi\n'
        "trap 'touch termed; sleep 0.3; exit 3' TERM\n"
        "kill -TERM $PPID\nsleep 20 & wait\n"
    )
    (tmp_path / "python").chmod(0o755)
    made = job(tmp_path, "kind: slurm\ntiers: {t: {memory: 4GB, walltime: 1h}}")
    script = made.script().replace(made.python, f"{tmp_path}/python")
    (tmp_path / "job.sh").write_text(script)
    done = subprocess.run(["bash", "job.sh"], check=False, cwd=tmp_path, timeout=60)
    assert done.returncode == 3
    assert (tmp_path / "termed").exists()
    assert (tmp_path / "told").read_text().split() == ["3", "1"]


def test_a_failing_sbatch_is_an_error_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = job(tmp_path, QUEUE)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tk.ClusterError, match="sbatch is not found"):
        made.submit()
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: no money' >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    with pytest.raises(tk.ClusterError, match="does not take the driver's job: error: no money"):
        made.submit()
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho '17;cluster'\n")
    assert made.submit() == "17"
    assert made.script_path.read_text() == made.script()
    assert stat.S_IMODE(made.script_path.stat().st_mode) == 0o700


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Return what says whether a job begins again; SLURM's answers are made up."""

    def unfinished(x: int) -> int:
        return x

    sweep = tk.Sweep(unfinished, {"x": range(3)}, store=tmp_path / "s.zarr")
    sweep.run(time_limit=1e-6, progress=False)
    monkeypatch.setenv("SLURM_JOB_ID", "5")

    def end(code: int, is_told: bool, state: str = "RUNNING") -> bool:
        asked: list[tuple[str, ...]] = []

        def ask(*command: str) -> str:
            asked.append(command)
            return f"JobId=5 JobState={state} Reason=None"

        monkeypatch.setattr(driver_ended, "_ask", ask)
        again = driver_ended.main(tmp_path / "s.zarr", f"{tmp_path}/notes", code, is_told=is_told)
        assert (("scontrol", "requeue", "5") in asked) is again
        return again

    return end


@pytest.mark.parametrize(
    ("code", "is_told", "state", "again"),
    [
        (3, True, "RUNNING", True),  # its time is over
        (3, False, "RUNNING", False),  # toolkit stop
        (3, True, "COMPLETING", False),  # scancel, or SLURM does it by itself
        (137, False, "RUNNING", True),  # killed
        (0, True, "RUNNING", False),
        (1, True, "RUNNING", False),
        (2, True, "RUNNING", False),
    ],
)
def test_a_job_begins_again_where_that_is_of_use(
    ended: Ended, code: int, is_told: bool, state: str, again: bool
) -> None:
    assert ended(code, is_told, state) is again


def test_without_progress_it_begins_again_three_times_only(ended: Ended, tmp_path: Path) -> None:
    assert [ended(3, True) for _ in range(4)] == [True, True, True, False]
    saved = tmp_path / "s.zarr/.journal/checkpoints/unfinished-1-checkpoint/state"
    saved.parent.mkdir(parents=True)
    saved.touch()
    assert [ended(3, True) for _ in range(2)] == [True, True]
    os.utime(saved, (1e9, 1e9))
    assert ended(3, True)


def test_nothing_begins_again_where_the_store_cannot_be_read(ended: Ended, tmp_path: Path) -> None:
    found: Any = tk.status(tmp_path / "s.zarr")
    assert found.pending.sum() == 3
    (tmp_path / "s.zarr/zarr.json").unlink()
    assert not ended(3, True)
