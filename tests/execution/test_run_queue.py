from itertools import chain

import numpy as np
import pytest

from toolkit.execution.run_queue import RunQueue
from toolkit.execution.sizing import ChunkPlan
from toolkit.run_status import Status


class NoPositions:
    def positions(self, ids):
        return ()


def queue_of(n, order="random"):
    queue = RunQueue("token", order)
    queue.add(np.arange(n), NoPositions())
    return queue


def drained(queue, *, seconds=1.0, expected=0.1):
    while (task := queue.next_batch(seconds=seconds, expected=expected)) is not None:
        yield task


def runs_of(tasks):
    return np.concatenate([task.run_ids() for task in tasks]).tolist()


def test_batches_cover_every_run_once():
    queue = queue_of(105)
    wave = queue.first_wave(4, at_once=4, seconds=0.01)
    rest = list(drained(queue))
    assert sorted(runs_of([*wave, *rest])) == list(range(105))


def test_a_batch_holds_what_fits_into_its_seconds():
    sizes = [len(task.run_ids()) for task in drained(queue_of(25), seconds=1.0, expected=0.1)]
    assert sizes == [10, 10, 5]


def test_the_first_wave_begins_at_different_places():
    starts = {
        task.run_ids()[0] for task in queue_of(100_000).first_wave(4, at_once=4, seconds=0.01)
    }
    assert len(starts) == 4


def test_batches_of_the_first_wave_that_wait_hold_few_neighbors():
    wave = queue_of(100_000).first_wave(8, at_once=2, seconds=0.01)
    sizes = [task.n_runs for task in wave]
    assert min(sizes[:2]) > 1000
    assert max(sizes[2:]) <= 4


def test_what_a_batch_has_not_begun_is_handed_out_again():
    queue = queue_of(20)
    task = queue.next_batch(seconds=1.0, expected=0.1)
    queue.give_back(task, 3)
    again = runs_of(drained(queue))
    assert sorted([*task.run_ids()[:3].tolist(), *again]) == list(range(20))


def test_chunks_that_nobody_touched_are_handed_out_whole():
    queue = queue_of(100)
    status, attempts = np.zeros(100, np.uint8), np.zeros(100, np.uint8)
    attempts[20] = 1
    queue.use_chunks(ChunkPlan(length=16, mode="whole"), status, attempts, runs_per_batch=16)
    tasks = list(drained(queue))
    whole = [task for task in tasks if task.whole]
    assert sorted(task.lo for task in whole) == [0, 32, 48, 64, 80, 96]
    assert max(task.hi for task in whole) == 100
    assert sorted(runs_of(tasks)) == list(range(100))


def test_neighboring_short_chunks_share_a_batch():
    queue = queue_of(128)
    zeros = np.zeros(128, np.uint8)
    queue.use_chunks(ChunkPlan(length=8, mode="whole"), zeros, zeros, runs_per_batch=40)
    assert max(task.hi - task.lo for task in drained(queue)) == 40


def test_chunks_with_left_out_cells_are_whole_where_all_others_wait():
    queue = RunQueue("token", "given")
    kept = np.array([run for run in range(32) if run % 3])
    queue.add(kept, NoPositions())
    status = np.full(32, Status.SKIPPED, np.uint8)
    status[kept] = Status.PENDING
    plan = ChunkPlan(length=8, mode="whole")
    queue.use_chunks(plan, status, np.zeros(32, np.uint8), runs_per_batch=8)
    assert [task.whole for task in drained(queue)] == [True] * 4


def test_repeats_come_first_and_keep_their_attempt():
    queue = queue_of(10)
    queue.repeat(np.array([3, 4]), 2)
    queue.repeat(np.array([6]), 3, careful=True)
    first, second = (queue.next_batch(seconds=1.0, expected=0.1) for _ in range(2))
    assert (first.run_ids().tolist(), first.attempt, first.careful) == ([3, 4], 2, False)
    assert (second.run_ids().tolist(), second.attempt, second.careful) == ([6], 3, True)


def test_focus_puts_a_region_first():
    queue = queue_of(100)
    wanted = np.zeros(100, bool)
    wanted[40:50] = True
    queue.focus(wanted)
    task = queue.next_batch(seconds=1.0, expected=0.1)
    assert sorted(task.run_ids().tolist()) == list(range(40, 50))


def test_neighbors_that_are_kept_together_share_a_time_and_no_order():
    queue = queue_of(1000)
    wave = queue.first_wave(2, at_once=2, seconds=0.01)
    for task in wave:
        queue.give_back(task, 1)
    queue.keep_together(lambda ids: ids // 100)
    runs = np.array(runs_of(drained(queue)))
    groups = runs // 100
    assert np.count_nonzero(np.diff(groups)) == 9
    assert groups[np.flatnonzero(np.diff(groups))].tolist() != list(range(9))
    assert not (np.diff(runs[groups == 3]) > 0).all()
    assert sorted([*runs, *(task.run_ids()[0] for task in wave)]) == list(range(1000))


def test_keeping_together_changes_no_order_but_the_random_one():
    queue = queue_of(50, order="given")
    queue.keep_together(lambda ids: ids // 10)
    assert runs_of(drained(queue)) == list(range(50))


def uneven(order="random"):
    """Return a queue of 40 runs of which every eighth takes 5 s and the others 0.1 s."""
    queue = queue_of(40, order)
    queue.costs = np.where(np.arange(40) % 8 == 0, 5.0, 0.1).astype(np.float32)
    return queue


def test_near_the_end_the_longest_go_first():
    queue = uneven()
    queue.longest_first(over=4.0, expected=1.0)
    batches = [task.run_ids().tolist() for task in drained(queue)]
    assert sorted(chain(*batches[:5])) == [0, 8, 16, 24, 32]
    assert [len(each) for each in batches[:5]] == [1] * 5
    assert sorted(chain(*batches)) == list(range(40))


def test_what_was_asked_for_first_stays_ahead_of_what_takes_long():
    queue = uneven()
    queue.next_batch(seconds=0.1, expected=0.1)
    queue.focus(np.arange(40) % 8 == 1)
    queue.longest_first(over=4.0, expected=1.0)
    first = [task.run_ids().tolist() for task in drained(queue, seconds=0.1)][:4]
    assert all(run % 8 == 1 for run in chain(*first))


def test_the_order_stays_while_the_end_is_far_and_where_it_was_given():
    for queue, over in ((uneven(), 6.0), (uneven("given"), 4.0), (queue_of(40), 4.0)):
        queue.longest_first(over=over, expected=1.0)
        other = uneven(queue.order) if len(queue.costs) else queue_of(40)
        assert runs_of(drained(queue)) == runs_of(drained(other))


def test_what_a_worker_has_no_time_for_lets_shorter_ones_go_first():
    queue = uneven()
    queue.longest_first(over=4.0, expected=1.0)
    long = queue.next_batch(seconds=1.0, expected=1.0)
    assert not long.insists
    queue.postpone(long)
    assert len(queue) == 40
    assert queue.seconds(1.0) == pytest.approx(5 * 5.0 + 35 * 0.1)
    rest = list(drained(queue))
    assert rest[-1].run_ids().tolist() == long.run_ids().tolist()
    assert rest[-1].expected == 5.0
    assert [task.insists for task in rest[-2:]] == [False, True]  # now a worker has to leave


def test_what_a_worker_had_no_time_for_is_tried_again_after_a_while():
    queue = uneven()
    queue.longest_first(over=4.0, expected=1.0)
    long = queue.next_batch(seconds=1.0, expected=1.0)
    queue.postpone(long)
    queue.readmit()
    again = queue.next_batch(seconds=1.0, expected=1.0)
    assert again.run_ids().tolist() == long.run_ids().tolist()
    assert sorted(runs_of([again, *drained(queue)])) == list(range(40))


def test_where_runs_are_alike_a_worker_without_time_leaves():
    queue = queue_of(40)
    task = queue.next_batch(seconds=1.0, expected=0.1)
    assert task.insists
    queue.postpone(task)
    assert runs_of(drained(queue))[:10] == task.run_ids().tolist()
