import pytest

from toolkit.stages.failure import describe_failure, own_frame


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


@pytest.mark.parametrize(
    ("frames", "place"),
    [
        (["/home/me/study.py", "/env/lib/python3.12/site-packages/numpy/linalg.py"], "study.py:1"),
        (["/home/me/study.py", "/usr/lib/python3.11/json/decoder.py"], "study.py:1"),
        (["/env/lib/python3.12/site-packages/model/a.py"], "a.py:1"),
        (["/home/me/study.py", "/home/me/model.py"], "model.py:2"),
        (["/tmp/ipykernel_71/3079582654.py"], "notebook cell:1"),
        ([], ""),
    ],
)
def test_the_place_of_an_error_is_in_the_users_own_code(frames, place):
    traceback = "".join(
        f'  File "{file}", line {at}, in f\n' for at, file in enumerate(frames, start=1)
    )
    assert own_frame(traceback) == (f"{place} in f" if place else "")
