import random
import subprocess
import sys
import threading

from toolkit.stages.draws import global_draws

# The watch ends in what the collector calls while a call is about to be told to it.
ENDS_WITHIN_A_COLLECTION = """
import gc
from toolkit.stages import draws

taken = []

def note(phase, info):
    len(""), len(""), len("")
    taken.extend([i, i] for i in range(50))

def nested(depth):
    return [nested(depth - 1)] if depth else []

gc.callbacks.append(note)
gc.set_threshold(1)
for most in range(100, 700):
    draws._MOST_EVENTS = most
    changed = draws.global_draws()
    nested(100)
    nested(100)
    assert changed() == ()
    taken.clear()
print("unharmed")
"""


def test_only_draws_are_noticed():
    assert global_draws()() == ()
    changed = global_draws()
    random.gauss(0, 1)
    assert changed() == ("random",)


def test_draws_of_other_threads_are_not_blamed_on_this_one():
    changed = global_draws()
    thread = threading.Thread(target=random.random)
    thread.start()
    thread.join()
    assert changed() == ()


def test_a_watch_that_ends_within_a_collection_harms_nothing():
    done = subprocess.run(
        [sys.executable, "-c", ENDS_WITHIN_A_COLLECTION], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "unharmed\n"), done.stderr[-2000:]


def test_a_profiler_of_the_user_is_left_alone():
    seen = []
    sys.setprofile(lambda frame, event, function: seen.append(event))
    try:
        profiler = sys.getprofile()
        changed = global_draws()
        random.random()
        changed()
        assert sys.getprofile() is profiler
    finally:
        sys.setprofile(None)
    assert "c_call" in seen
