# ruff: noqa: T201 - runs that print are what this is about

import gc
import logging
import sys
import threading
import warnings

import numpy as np
import pytest

from toolkit.errors import SweepError
from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.current import RunContext
from toolkit.stages.listening import Listener, check_log_level, listening
from toolkit.stages.said import FIRST, LAST, Excerpt, RunLog
from toolkit.stages.stage import as_stage


def heard(function, n=6, *, vectorized=False, context=None, brief=False, **values):
    """Run a function of ``x`` at 0 … n - 1 as a batch that is listened to."""
    import toolkit as tk

    stage = as_stage(tk.stage(function, vectorized=vectorized))
    call = bind(stage, {"x": "axis"}).call
    context = context or RunContext(session=f"{function.__name__}-{id(function)}")
    x = np.arange(n) if vectorized else list(range(n))
    with listening(context.log_level):
        return run_batch(call, {"x": x}, list(range(10, 10 + n)), context=context, brief=brief)


def texts(result):
    return {run: log.text for log in result.logs for lo, hi in log.runs for run in range(lo, hi)}


def test_a_print_in_whose_middle_a_batch_elsewhere_ends_harms_nothing():
    class Slow:
        """Its text is asked for by print, which has taken its stream by then."""

        def __str__(self):
            begun.set()
            assert given_back.wait(10)
            gc.collect()
            return "slow"

    def end():
        begun.wait(10)
        batch.__exit__(None, None, None)
        given_back.set()

    for _ in range(20):
        begun, given_back = threading.Event(), threading.Event()
        batch = listening(logging.WARNING)
        batch.__enter__()
        elsewhere = threading.Thread(target=end)
        elsewhere.start()
        print(Slow())
        elsewhere.join()
        assert not isinstance(sys.stdout, Listener)


def test_each_stream_has_one_listener_however_many_batches_there_are():
    seen = set()
    for _ in range(3):
        with listening(logging.WARNING):
            seen.add(id(sys.stdout))
            seen.add(id(sys.stderr))
    assert len(seen) == 2


def test_each_run_has_its_own_prints():
    def shout(x):
        if x % 2:
            print("run", x)
            print("more", file=sys.stderr)
        return x

    result = heard(shout)
    assert texts(result) == {10 + x: f"run {x}\nmore\n" for x in (1, 3, 5)}


@pytest.mark.parametrize("brief", [True, False])
def test_prints_of_fast_runs_belong_to_the_run_that_printed(brief):
    def seldom(x):
        if x in (3, 70, 500):
            print(x)
        return 0.5

    assert texts(heard(seldom, 600, brief=brief)) == {13: "3\n", 80: "70\n", 510: "500\n"}


def test_runs_that_say_the_same_share_one_entry():
    def same(x):
        print("ready")
        return x

    assert heard(same).logs == [RunLog(((10, 16),), "ready\n")]


def test_silent_runs_leave_nothing():
    assert heard(abs_of).logs == []


def abs_of(x):
    return abs(x)


def test_a_failed_run_has_what_it_said_in_its_failure():
    def fail(x):
        print("before", x)
        if x == 2:
            raise ValueError("two")
        return x

    result = heard(fail)
    assert [error.log for error in result.errors] == ["before 2\n"]


def test_warnings_are_kept_of_every_run_and_shown_once():
    def careful(x):
        warnings.warn("be careful", UserWarning, stacklevel=1)
        return x

    with warnings.catch_warnings(record=True) as shown:
        warnings.resetwarnings()
        result = heard(careful)
    assert result.logs[0].runs == ((10, 16),)
    assert result.logs[0].text.endswith("UserWarning: be careful\n")
    assert [str(each.message) for each in shown] == ["be careful"]


def test_warnings_that_are_ignored_are_not_kept():
    def careful(x):
        warnings.warn("be careful", UserWarning, stacklevel=1)
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert heard(careful).logs == []


def test_records_of_logging_are_kept_from_the_level_on():
    def tell(x):
        logger = logging.getLogger("model.part")
        logger.info("step %d", x)
        logger.warning("limit %d", x)
        return x

    assert texts(heard(tell, 1)) == {10: "WARNING model.part: limit 0\n"}
    context = RunContext(log_level=logging.INFO, session="info")
    assert texts(heard(tell, 1, context=context)) == {
        10: "INFO model.part: step 0\nWARNING model.part: limit 0\n"
    }
    assert logging.getLogger().level == logging.WARNING


def test_a_record_that_a_handler_prints_is_kept_once():
    def tell(x):
        logger = logging.getLogger("model.own")
        handler = logging.StreamHandler(sys.stderr)
        logger.addHandler(handler)
        try:
            logger.warning("limit")
        finally:
            logger.removeHandler(handler)
        return x

    assert texts(heard(tell, 1)) == {10: "limit\n"}


def test_without_a_handler_a_warning_is_still_shown(capsys, monkeypatch):
    def tell(x):
        logging.getLogger("model").warning("limit")
        return x

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    assert texts(heard(tell, 1)) == {10: "WARNING model: limit\n"}
    assert capsys.readouterr().err == "limit\n"


def test_what_is_said_is_still_seen(capsys):
    def shout(x):
        print("run", x)
        return x

    heard(shout, 2)
    assert capsys.readouterr().out == "run 0\nrun 1\n"


def test_a_vectorized_batch_speaks_for_all_its_runs():
    def shout(x):
        print("all of them")
        return x * 2

    result = heard(shout, vectorized=True)
    assert result.logs == [RunLog(((10, 16),), "all of them\n")]


def test_batches_in_two_threads_do_not_mix():
    barrier = threading.Barrier(2, timeout=30)
    results = {}

    def work(name):
        def shout(x):
            barrier.wait()
            print(name, x)
            return x

        results[name] = heard(shout, 20)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("one", "two"):
        assert texts(results[name]) == {10 + x: f"{name} {x}\n" for x in range(20)}
    assert not isinstance(sys.stdout, Listener)


def test_threads_of_a_run_speak_for_it():
    def shout(x):
        thread = threading.Thread(target=print, args=("from below", x))
        thread.start()
        thread.join()
        return x

    found = {}
    outer = threading.Thread(target=lambda: found.update(texts(heard(shout, 2))))
    outer.start()
    outer.join()
    assert found == {10: "from below 0\n", 11: "from below 1\n"}


def test_of_a_long_text_the_first_and_last_part_are_kept():
    excerpt = Excerpt()
    for at in range(100_000):
        excerpt.add(f"{at:07d}\n")
    text = str(excerpt)
    assert text.startswith("0000000\n0000001\n")
    assert text.endswith("0099999\n")
    assert "… 796,000 characters left out …" in text
    assert len(text) < FIRST + LAST + 50


@pytest.mark.parametrize("n", [0, 1, FIRST, FIRST + 1, FIRST + LAST])
def test_a_text_that_fits_is_kept_whole(n):
    excerpt = Excerpt()
    text = ("abcdefg" * n)[:n]
    for at in range(0, n, 333):
        excerpt.add(text[at : at + 333])
    assert str(excerpt) == text


def test_a_session_keeps_only_so_much_and_that_of_failed_runs_beside_it():
    def shout(x):
        print("x" * 99)
        if x == 5:
            raise ValueError
        return x

    result = heard(shout, context=RunContext(session="narrow", log_characters=250))
    assert texts(result) == {
        **dict.fromkeys((10, 11, 15), "x" * 99 + "\n"),
        **dict.fromkeys((12, 13, 14), None),
    }
    again = heard(shout, 1, context=RunContext(session="narrow", log_characters=250))
    assert texts(again) == {10: None}


def test_levels_are_named_or_numbered():
    assert check_log_level("Debug") == logging.DEBUG
    with pytest.raises(SweepError, match="log_level='loud' is not a level"):
        check_log_level("loud")
