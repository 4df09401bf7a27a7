from toolkit.stages.failure import describe_failure


class SilentError(Exception):
    def __str__(self):
        raise RuntimeError("cannot say")


def caught(error):
    try:
        raise error
    except BaseException as found:  # noqa: BLE001  (as run_batch does)
        return describe_failure(7, found, ("OSError",))


def test_a_failure_names_type_message_and_place():
    failure = caught(FileNotFoundError(2, "gone"))
    assert (failure.run, failure.exception, failure.retryable) == (7, "FileNotFoundError", True)
    assert "in caught" in failure.traceback
    assert failure.host


def test_an_exception_without_text_is_no_obstacle():
    assert "cannot be made" in caught(SilentError()).message
    assert caught(SilentError()).exception.endswith(".SilentError")


def test_tracebacks_are_bounded():
    failure = caught(ValueError("long " * 20_000))
    assert len(failure.message) < 4_100
    assert len(failure.traceback) < 20_100
    assert "characters left out" in failure.traceback
