from hypothesis import given
from hypothesis import strategies as st

from toolkit.execution.sizing import ChunkPlan, batch_seconds, choose_chunks, window_size

seconds = st.floats(1e-8, 1e4)


@given(st.integers(1, 2000), st.floats(0, 1e9))
def test_a_batch_is_never_under_20_ms_and_never_over_its_target(workers, left):
    target = batch_seconds(workers=workers, threads=workers, seconds_left=left)
    assert 0.02 <= target <= max(0.25, 0.005 * workers)


@given(st.integers(1, 10**8), seconds, st.integers(1, 10**8), st.integers(1, 500), st.booleans())
def test_chunk_lengths_are_powers_of_two_within_their_bytes(n, per_run, nbytes, threads, fixed):
    plan = choose_chunks(
        n_runs=n, seconds_per_run=per_run, bytes_per_run=nbytes, threads=threads, fixed=fixed
    )
    assert plan.length & (plan.length - 1) == 0
    assert plan.length == 1 or plan.length * nbytes <= 8 * 2**20
    if plan.mode == "whole":
        assert fixed
        assert plan.length == 1 or per_run < 1e-3


def test_slow_runs_go_through_the_journal():
    plan = choose_chunks(n_runs=5000, seconds_per_run=0.01, bytes_per_run=8, threads=2, fixed=True)
    assert (plan.mode, plan.length) == ("inline", 65536)


def test_fast_runs_are_written_as_whole_chunks():
    plan = choose_chunks(
        n_runs=200_000, seconds_per_run=45e-6, bytes_per_run=8, threads=2, fixed=True
    )
    assert plan.mode == "whole"
    assert 200_000 / plan.length >= 16


def test_few_fast_runs_make_no_file_for_each_of_them():
    plan = choose_chunks(n_runs=18, seconds_per_run=1e-5, bytes_per_run=8, threads=2, fixed=True)
    assert plan == ChunkPlan(length=65_536, mode="inline")


def test_the_window_holds_three_batches_a_thread_and_at_least_eight():
    assert [window_size(threads) for threads in (1, 2, 3, 100)] == [8, 8, 9, 300]


def test_many_runs_that_seem_slower_than_they_are_still_go_straight_into_chunks():
    measured = {"n_runs": 10**7, "bytes_per_run": 8, "threads": 2, "fixed": True}
    for seconds in (1e-7, 1e-6, 5e-6, 1.5e-5):
        plan = choose_chunks(seconds_per_run=seconds, **measured)
        assert plan == ChunkPlan(length=65_536, mode="whole")
    assert choose_chunks(seconds_per_run=5e-5, **measured).mode == "inline"


def test_in_this_process_only_many_wide_runs_are_written_as_chunks():
    def mode(n_runs, bytes_per_run):
        return choose_chunks(
            n_runs=n_runs,
            seconds_per_run=5e-4,
            bytes_per_run=bytes_per_run,
            threads=1,
            fixed=True,
            here=True,
        )

    assert mode(100, 1_000_000) == ChunkPlan(length=8, mode="whole")
    assert mode(20, 1_000_000).mode == "inline"
    assert mode(2_000, 8).mode == "inline"
