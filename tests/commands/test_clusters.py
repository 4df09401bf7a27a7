"""``toolkit cluster``: what is shown, what is checked, and a cluster that stays up."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from click.testing import Result
from dask.distributed import Client

Toolkit = Callable[..., Result]

SITE = """
kind: slurm
account: ${GROUP}
tiers:
  small: {memory: 4GB, walltime: 1h}
"""


@pytest.fixture
def site(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile of a SLURM cluster, here, where there is no SLURM."""
    (folder / "site.yaml").write_text(SITE)
    monkeypatch.setenv("GROUP", "m12")
    monkeypatch.setenv("PATH", str(folder))
    return folder / "site.yaml"


def test_each_setting_is_shown_with_where_it_comes_from(toolkit: Toolkit, site: Path) -> None:
    lines = toolkit("cluster show site.yaml").stdout.splitlines()
    shown = {line.partition(":")[0].strip(): line.partition("# ")[2] for line in lines}
    assert shown["account"] == "site.yaml:3, $GROUP"
    assert shown["walltime"] == "site.yaml:5"
    assert shown["maximum"] == "default"
    assert lines[1].startswith("kind: slurm ")
    found = json.loads(toolkit("cluster show site.yaml --json").stdout)
    assert found["settings"]["tiers"]["small"]["account"] == "m12"
    assert found["origins"]["tiers.small.account"].endswith("site.yaml:3, $GROUP")


def test_a_missing_variable_is_named_with_its_key(
    toolkit: Toolkit, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GROUP")
    done = toolkit("cluster show site.yaml", code=2)
    assert "site.yaml: account: the environment variable GROUP is not set" in done.stderr


def test_what_shows_can_be_used_as_a_profile(toolkit: Toolkit, site: Path) -> None:
    before = toolkit("cluster show site.yaml --json").stdout
    site.write_text(toolkit("cluster show site.yaml").stdout)
    after = toolkit("cluster show site.yaml --json").stdout
    assert json.loads(before)["settings"] == json.loads(after)["settings"]


def test_a_check_without_slurm_says_what_to_do(toolkit: Toolkit, site: Path) -> None:
    done = toolkit("cluster check site.yaml --scripts", code=2)
    assert "#SBATCH --mem=3815M" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert line == "problem  SLURM: no sbatch, scancel, scontrol, sinfo, squeue on the search path"
    assert "Do: Run this on a login node" in done.stdout
    assert done.stderr == "1 problem\n"
    assert not (site.parent / "toolkit-logs").exists()


def test_a_check_keeps_to_its_schema(toolkit: Toolkit, site: Path) -> None:
    schema = json.loads(
        (Path(__file__).parents[2] / "toolkit/commands/schemas/cluster_check.json").read_text()
    )
    for profile, code in (("site.yaml", 2), ("local", 0)):
        found = json.loads(toolkit(f"cluster check {profile} --json", code=code).stdout)
        jsonschema.validate(found, schema)
        assert found["is_ok"] == (code == 0)
    assert found["scripts"] == {}


def test_a_local_profile_is_checked_against_this_machine(
    toolkit: Toolkit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (folder / "p.yaml").write_text("kind: local\ntiers: {a: {count: 2, memory: 100TB, gpus: 1}}")
    done = toolkit("cluster check p.yaml", code=2)
    assert "problem  memory: 200 TB for all workers" in done.stdout
    assert "problem  gpus" not in done.stdout  # 2 workers ask for GPUs that are not there
    assert "2 of 2 GPUs" not in done.stdout
    done = toolkit("cluster check local-gpu", code=2)
    assert "gpus: 2 pretends some" in done.stdout


def test_interfaces_folders_and_programs_are_looked_for(toolkit: Toolkit, site: Path) -> None:
    site.write_text(
        SITE + "interface: none0\npython: /no/python\nlog_folder: /proc/logs\n"
        "shared_folder: $NOT_SET/certificates\n"
    )
    found = json.loads(toolkit("cluster check site.yaml --json", code=2).stdout)["findings"]
    wrong = {each["subject"]: each["text"] for each in found if not each["is_ok"]}
    assert "none0" in wrong["interface"]
    assert "/no/python" in wrong["python"]
    folders = [each["text"] for each in found if each["subject"] == "folder"]
    assert "/proc/logs cannot be written" in folders[0] or os.access("/proc", os.W_OK)
    assert "variable that is not set" in folders[1]


def test_a_queue_that_is_not_told_the_memory_is_a_problem(toolkit: Toolkit, site: Path) -> None:
    site.write_text(SITE.replace("slurm", "sge"))
    done = toolkit("cluster check site.yaml", code=2)
    assert "sge is not told how much memory the jobs of small need" in done.stdout
    assert "no command qsub here" in done.stdout


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_cluster_is_up_until_it_is_told_to_end(folder: Path, ending: signal.Signals) -> None:
    (folder / "one.yaml").write_text("kind: local\ndashboard: null\ntiers: {cpu: {count: 1}}\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit", "cluster", "up", "one.yaml", "--json"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert (told["schema"], told["dashboard"]) == ("toolkit.cluster.up", None)
    with Client(told["address"]) as client:
        assert client.submit(sum, [1, 2]).result(timeout=30) == 3
    process.send_signal(ending)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest) == (0, ""), errors


def test_without_the_queue_no_cluster_of_it_starts(toolkit: Toolkit, site: Path) -> None:
    site.write_text(SITE.replace("slurm", "sge"))
    done = toolkit("cluster up site.yaml", code=2)
    assert "there is no command qsub here" in done.stderr
