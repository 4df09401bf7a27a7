import threading

import pytest

from toolkit.stores.arrays.writer import Pending, Writer


def test_jobs_are_done_in_order_and_waited_for():
    writer, pending, done = Writer(), Pending(), []
    for i in range(20):
        writer.put(pending, lambda i=i: done.append(i), 10)
    writer.wait(pending)
    assert done == [*range(20)]
    assert not writer.is_busy


def test_who_brings_more_than_is_held_waits():
    writer, pending = Writer(), Pending()
    may_write, taken = threading.Event(), []
    for _ in range(2):
        writer.put(pending, may_write.wait, 30 << 20)

    def third():
        writer.put(pending, lambda: None, 30 << 20)
        taken.append("third")

    thread = threading.Thread(target=third)
    thread.start()
    thread.join(timeout=0.2)
    assert taken == []
    may_write.set()
    thread.join(timeout=20)
    writer.wait(pending)
    assert taken == ["third"]


def test_one_job_larger_than_the_bound_is_taken():
    writer, pending = Writer(), Pending()
    writer.put(pending, lambda: None, 1 << 40)
    writer.wait(pending)


def test_an_error_is_raised_in_its_own_batch_and_ends_that_only():
    writer, broken, sound, done = Writer(), Pending(), Pending(), []
    begin = threading.Event()

    def fail():
        begin.wait()
        raise OSError(28, "No space left on device")

    writer.put(broken, fail, 1)
    writer.put(broken, lambda: done.append("after the error"), 1)
    writer.put(sound, lambda: done.append("sound"), 1)
    begin.set()
    with pytest.raises(OSError, match="No space left"):
        writer.wait(broken)
    writer.wait(sound)
    assert done == ["sound"]
