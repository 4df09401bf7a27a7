"""A worker that is let go says nothing of it."""

import asyncio
import logging
import multiprocessing
import threading

import pytest
from distributed.core import ConnectionPool

import toolkit as tk
from toolkit.clusters.quiet_end import dask_setup


@pytest.fixture
def logger():
    names = ("distributed.nanny", "distributed.worker", "tornado.application")
    before = {name: list(logging.getLogger(name).filters) for name in names}
    dask_setup(None)
    yield logging.getLogger("distributed.nanny")
    for name in names:
        logging.getLogger(name).filters[:] = before[name]


def say(logger, error):
    """Log an error as Dask's thread does that listens for the nanny."""
    try:
        raise error
    except (TypeError, OSError, EOFError):
        logger.exception("Worker process died unexpectedly")


def test_the_end_of_a_queue_that_the_worker_closed_itself_is_not_told(logger, caplog):
    queue = multiprocessing.get_context("spawn").Queue()
    got = []

    def listen():
        try:
            queue.get()
        except (TypeError, OSError, EOFError) as error:
            got.append(error)
            say(logger, error)

    queue._reader.close()  # as the worker's own end does, while the thread is about to read
    thread = threading.Thread(target=listen)
    thread.start()
    thread.join(timeout=30)
    queue.close()
    assert len(got) == 1
    say(logger, TypeError("'NoneType' object cannot be interpreted as an integer"))
    assert caplog.records == []


def test_a_nanny_that_is_gone_is_told(logger, caplog):
    say(logger, EOFError())
    say(logger, ConnectionResetError("by peer"))
    assert len(caplog.records) == 2


def test_a_worker_that_cannot_tell_its_nanny_that_it_ends_says_nothing(logger, caplog):
    async def connects():
        pool = ConnectionPool()
        await pool.close()
        await pool.connect("tcp://127.0.0.1:1")

    for name in ("distributed.worker", "tornado.application"):
        try:
            asyncio.run(connects())
        except RuntimeError as error:
            logging.getLogger(name).exception(error)
        logging.getLogger(name).error("something else")
    assert [record.message for record in caplog.records] == ["something else"] * 2


def test_workers_of_this_machine_have_it():
    def filters():
        return [type(each).__name__ for each in logging.getLogger("distributed.nanny").filters]

    with tk.cluster("local", workers=1, dashboard=None) as cluster:
        [found] = cluster.client.run(filters).values()
    assert "_ClosedByItself" in found


def test_that_runs_of_a_lazy_dataset_failed_is_told_to_who_asked_only(logger, caplog):
    of_worker = logging.getLogger("distributed.worker")
    words = "Compute Failed\nKey:       %s\nException: %r\n"
    of_worker.error(words, "y-1", "RunsFailedError('y cannot be computed')")
    of_worker.error(words, "z-1", "ValueError('RunsFailedError(')")
    of_worker.error("something else: %s", "RunsFailedError('y')")
    assert [record.args[0] for record in caplog.records] == ["z-1", "RunsFailedError('y')"]
