"""Queues that are slow, talk much, fail or say nothing, stood in for by scripts."""

import asyncio
import sys
from types import SimpleNamespace

import pytest

from toolkit.clusters import job_classes, job_queue
from toolkit.clusters.job_endings import ending_of
from toolkit.clusters.job_queue import JobQueue
from toolkit.clusters.job_script import job_script
from toolkit.clusters.profile import load_profile

SITE = """
kind: slurm
account: "my group's account"
partition: a;b
log_folder: "{folder}/50% of it/logs"
security: tls
shared_folder: {folder}
tiers: {{t: {{memory: 600MB, walltime: 5min, constraint: "[a|b]", qos: "high $(id)"}}}}
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return what writes a stand-in for a command, and a profile."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    (tmp_path / "bin").mkdir()
    (tmp_path / "site.yaml").write_text(SITE.format(folder=tmp_path).replace("50% of it", "50%"))

    def stand_in(command, script):
        path = tmp_path / "bin" / command
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)

    stand_in.profile = load_profile(tmp_path / "site.yaml")
    return stand_in


def submit(queue):
    """Submit a job, and return what became of it."""
    spec = queue.spec("t", "t-0", 0)

    async def start():
        return await spec["cls"](scheduler="tcp://127.0.0.1:1", **spec["options"])

    return asyncio.run(start())


def test_names_with_spaces_and_quotes_are_told_whole(site):
    lines = job_script(site.profile.queue, "t").splitlines()
    asked = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert "-A 'my group'\"'\"'s account'" in asked
    assert "-p 'a;b'" in asked
    assert "--qos='high $(id)'" in asked
    assert "--constraint=[a|b]" in asked
    [log] = [each for each in asked if each.startswith("--output=")]
    assert log.endswith("/50%%/logs/%x-%j.log")


def test_a_python_in_a_folder_with_a_space_is_found(site, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/home/my user/bin/python")
    assert "\n'/home/my user/bin/python' -m toolkit" in job_script(site.profile.queue, "t")


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("Submitted batch job 4711", "4711"),
        ("You have used 87 percent of 100 hours.\nSubmitted batch job 4711 on cluster x", "4711"),
        ("2026-11-22 maintenance on node 12\n4711", "4711"),
        ("4711;cluster", "4711"),
    ],
)
def test_the_number_of_a_job_is_found_among_other_words(site, said, number):
    site("sbatch", f"echo 'sbatch: warning 99: be kind' >&2; echo '{said}'")
    job = submit(JobQueue(site.profile))
    assert (job.job_id, job.problem) == (number, "")


def test_an_answer_without_a_number_is_a_problem(site):
    site("sbatch", "echo '87 percent of your quota'")
    job = submit(JobQueue(site.profile))
    assert job.job_id is None
    assert "87 percent of your quota" in job.problem


def test_a_command_that_gives_no_answer_is_ended(site, monkeypatch):
    monkeypatch.setattr(job_classes, "SUBMIT_SECONDS", 1)
    monkeypatch.setattr(job_queue, "SUBMIT_SECONDS", 1)
    site("sbatch", "exec sleep 250")
    queue = JobQueue(site.profile)
    job = submit(queue)
    assert job.job_id is None
    assert job.problem == "sbatch timed out: it gave no answer within 1 s"
    assert queue.is_passing(job.problem)


def test_a_queue_that_is_not_answered_for_loses_no_job(site, monkeypatch):
    monkeypatch.setattr(job_queue, "_LOOK_SECONDS", -1.0)
    queue = JobQueue(site.profile)
    jobs = {"t-0": SimpleNamespace(job_id="7", problem="")}

    def gone():
        return asyncio.run(queue.gone(jobs))

    site("squeue", "echo '7|PENDING|Priority'")
    assert gone() == {}
    assert "Priority" in queue.why_waiting(jobs["t-0"])
    site("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert [gone() for _ in range(20)] == [{}] * 20  # a minute
    assert queue.why_waiting(jobs["t-0"]) == ""
    site("squeue", "exit 0")
    assert [gone() for _ in range(2)] == [{}, {}]
    site("squeue", "echo '7|RUNNING|None'")
    assert gone() == {}
    site("squeue", "exit 0")
    assert [gone() for _ in range(3)] == [{}, {}, {"t-0": ""}]


@pytest.mark.parametrize("script", ["exit 0", r"printf 'JobId=7 Comment=\377\n'", "exit 1"])
def test_scontrol_that_says_nothing_of_use_leaves_the_end_unknown(site, script):
    site("scontrol", script)
    assert ending_of("7", patience=0.1).reason == "unknown"
