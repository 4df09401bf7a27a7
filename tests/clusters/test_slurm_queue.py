"""What is made of the words of ``squeue``, whole or not."""

import pytest

from toolkit.clusters.slurm_queue import Absences, QueuedJob, jobs_of_user, read_jobs


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Resources", "for nodes that are in use (Resources)"),
        ("(Resources)", "for nodes that are in use (Resources)"),
        ("QOSMaxCpuPerUserLimit", "for a limit of the QOS (QOSMaxCpuPerUserLimit)"),
        ("AssocGrpCpuLimit", "for a limit of the account (AssocGrpCpuLimit)"),
        (
            "ReqNodeNotAvail, UnavailableNodes:n7",
            "for nodes that are not available (ReqNodeNotAvail, UnavailableNodes:n7)",
        ),
        ("SomethingNew", "in the queue (SomethingNew)"),
        ("None", "in the queue"),
        ("", "in the queue"),
    ],
)
def test_slurms_reason_is_put_into_words(reason, words):
    assert QueuedJob(state="PENDING", reason=reason).why == words
    assert QueuedJob(state="RUNNING", reason=reason).why == ""


def test_lines_that_are_no_jobs_are_passed_over():
    text = "slurm_load_jobs error: Socket timed out|\n\nnonsense\n7|PENDING|a|b\n|RUNNING|None\n"
    assert read_jobs(text) == {"7": QueuedJob(state="PENDING", reason="a|b")}


def test_a_job_is_gone_when_several_answers_in_a_row_lack_it():
    absences, jobs = Absences(), {"7": "small-0", "8": "small-1"}
    assert absences.without(["7"], jobs) == []
    assert absences.without(["7", "8"], jobs) == []
    assert absences.without(["7"], jobs) == []
    assert absences.without(["7"], jobs) == ["small-1"]
    assert absences.without(["7"], {"7": "small-0"}) == []


def test_an_answer_that_names_no_job_at_all_is_believed_later():
    absences, jobs = Absences(), {"7": "small-0", "8": "small-1"}
    assert [absences.without([], jobs) for _ in range(3)] == [[], [], ["small-0", "small-1"]]


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("echo '7|RUNNING|None'; exit 1", None),
        ("printf '7|RUNNING|\\377\\n'", ["7"]),
        ("exit 0", []),
    ],
)
def test_squeue_may_fail_or_babble(tmp_path, monkeypatch, script, found):
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "squeue").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    said = jobs_of_user()
    assert (None if said is None else list(said)) == found
