"""What SLURM says of a job that ended."""

import pytest

from toolkit.clusters.job_endings import JobEnding, ending_of, read_ending


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125", "memory"),
        ("JobState=FAILED Reason=JobLaunchFailure ExitCode=0:9", "memory"),
        ("JobState=FAILED Reason=NonZeroExitCode ExitCode=1:0", "unknown"),
        ("JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15", "walltime"),
        ("JobState=COMPLETING Reason=TimeLimit ExitCode=0:15", "walltime"),
        ("JobState=PREEMPTED Reason=None ExitCode=0:15", "preempted"),
        ("JobState=CANCELLED+ Reason=None ExitCode=0:15", "cancelled"),
        ("JobState=NODE_FAIL Reason=NodeDown ExitCode=0:0", "node lost"),
        ("JobState=RUNNING Reason=None ExitCode=0:0", "running"),
        ("JobState=COMPLETED Reason=None ExitCode=0:0", "unknown"),
        ("slurm_load_jobs error: Invalid job id specified", "unknown"),
        ("", "unknown"),
    ],
)
def test_states_become_reasons(said: str, reason: str) -> None:
    assert read_ending("17", said).reason == reason


def test_a_signal_is_no_exit_code() -> None:
    by_signal = read_ending("17", "JobState=FAILED ExitCode=0:9")
    assert (by_signal.exit_code, by_signal.signal) == (None, 9)
    by_itself = read_ending("17", "JobState=FAILED ExitCode=3:0")
    assert (by_itself.exit_code, by_itself.signal) == (3, 0)


def test_it_is_told_in_words() -> None:
    ending = read_ending("17", "JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15")
    assert ending.describe() == "worker job 17 reached its time limit (SLURM says TIMEOUT)"


@pytest.mark.parametrize("job", ["", "17; rm -rf /", "--help", "$(id)"])
def test_nothing_but_a_number_is_asked_for(job: str) -> None:
    assert ending_of(job) == JobEnding(job=job)
