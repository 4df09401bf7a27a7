"""How it becomes known why a worker ended, while others go on."""

import threading
import time
from types import SimpleNamespace

from distributed.scheduler import KilledWorker

from toolkit.clusters.job_endings import JobEnding
from toolkit.execution import deaths as module
from toolkit.execution.deaths import WORKERS_TOPIC, Deaths

NANNY = "tcp://127.0.0.1:1"
ERROR = KilledWorker("fit-1", SimpleNamespace(nanny=NANNY, pid=7), 0)
SAID = {
    "nanny": NANNY, "pid": 7, "exit_code": -9, "out_of_memory": True, "memory_limit": 10,
    "peak_memory": 11.0, "traceback": "", "log": "", "host": "node",
}  # fmt: skip


class Client:
    """Tells what workers and nannies have said by now."""

    def __init__(self):
        self.said = {}

    def register_plugin(self, plugin):
        self.plugin = plugin

    def get_events(self, topic):
        return [(0.0, each) for each in self.said.get(topic, ())]


def test_a_nanny_that_tells_late_is_waited_for_without_a_pause():
    client = Client()
    deaths = Deaths(client)
    begun = time.monotonic()
    assert deaths.are_known([ERROR, ERROR, None]) == [False, False, True]
    assert time.monotonic() - begun < 1.0
    client.said[module._TOPIC] = [SAID]
    assert deaths.are_known([ERROR]) == [True]
    assert deaths.of(ERROR).out_of_memory


def test_the_queue_is_asked_once_and_others_go_on(monkeypatch):
    asked, answers = [], threading.Event()

    def ending_of(job):
        asked.append(job)
        answers.wait(10)
        return JobEnding(job=job, reason="walltime", state="TIMEOUT")

    monkeypatch.setattr(module, "ending_of", ending_of)
    monkeypatch.setattr(module, "_PATIENCE", 0.0)  # its nanny is gone as well
    client = Client()
    client.said[WORKERS_TOPIC] = [{"pid": 7, "job": "41", "host": "node", "ends_at": 1e12}]
    deaths = Deaths(client)
    assert deaths.are_known([ERROR]) == deaths.are_known([ERROR, ERROR])[:1] == [False]
    answers.set()
    deadline = time.monotonic() + 10
    while not all(deaths.are_known([ERROR, ERROR])):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (deaths.of(ERROR).reason, asked) == ("time limit", ["41"])
    deaths.close()


def handing_on(run):
    """Return what hears of a worker whose job has a minute left, and is handed on by ``run``."""
    client = Client()
    client.run = run
    client.said[WORKERS_TOPIC] = [
        {
            "pid": 7, "host": "node", "address": "tcp://127.0.0.1:2", "nanny": NANNY,
            "tier": "small", "ends_at": time.time() + 60, "job": "41",
        }
    ]  # fmt: skip
    return client, Deaths(client)


def test_a_worker_that_is_ended_for_its_job_is_short_is_known_by_that():
    told = []
    client, deaths = handing_on(lambda *given, **options: told.append((given[1], options)))
    tier, left = deaths.job_of("node-7-abc.journal")
    assert (tier, 55 < left < 61) == ("small", True)
    assert deaths.job_of("node-8-abc.journal") == ("", float("inf"))
    assert deaths.hand_on("node-7-abc.journal")
    assert told == [
        (7, {"workers": ["tcp://127.0.0.1:2"], "nanny": True, "on_error": "ignore"}),
    ]
    client.said[module._TOPIC] = [{**SAID, "exit_code": -14, "out_of_memory": False}]
    assert deaths.are_known([ERROR]) == [True]
    assert deaths.of(ERROR).handed_on
    assert deaths.of(ERROR).reason == "time limit"


def test_a_worker_that_has_just_gone_by_itself_is_not_handed_on():
    def run(*given, **options):
        raise KeyError(options["workers"][0])  # as the scheduler says of one that it does not know

    client, deaths = handing_on(run)
    assert not deaths.hand_on("node-7-abc.journal")
    assert not deaths.hand_on("node-8-abc.journal")
    client.said[module._TOPIC] = [{**SAID, "exit_code": -14, "out_of_memory": False}]
    assert deaths.are_known([ERROR]) == [True]
    assert not deaths.of(ERROR).handed_on


def test_what_ended_a_worker_before_it_was_handed_on_is_what_counts():
    client, deaths = handing_on(lambda *given, **options: None)
    assert deaths.hand_on("node-7-abc.journal")
    client.said[module._TOPIC] = [SAID]
    assert deaths.are_known([ERROR]) == [True]
    assert deaths.of(ERROR).reason == "memory"
