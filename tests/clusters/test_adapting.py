"""How many jobs there are: by demand, by hand, after losses and failures; without a cluster."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from distributed import Status

from toolkit.clusters import adapting
from toolkit.clusters.adapting import Adapting
from toolkit.clusters.demand import DEMAND_KEY, PROBLEMS_KEY, SCALE_KEY, TIERS_KEY, WAITS_KEY
from toolkit.clusters.tiers import Ladder, Tier

SMALL = Tier(name="small", threads=2, maximum=4, idle=0.2)
LARGE = Tier(name="large", threads=2, minimum=1, maximum=2, idle=0.2)
GPU = Tier(name="gpu", gpus=1, maximum=1, idle=0.2)
NOBODY = Tier(name="nobody", maximum=0)


class Scheduler:
    def __init__(self):
        self.task_metadata, self.workers = {}, {}
        self.unrunnable, self.queued = {}, []

    def set_metadata(self, keys, value=None):
        at = self.task_metadata
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = value

    def said(self, keys):
        at = self.task_metadata
        for key in keys:
            at = at.get(key, {})
        return at

    def handle_worker_status_change(self, status, worker, stimulus):
        worker.status = status

    async def retire_workers(self, *, workers, **_):
        for address in workers:
            self.workers.pop(address)


class Cluster:
    status = Status.running

    def __init__(self):
        self.scheduler = Scheduler()
        self.worker_spec, self.workers = {}, {}

    async def _correct_state(self):
        for name, spec in self.worker_spec.items():
            self.workers.setdefault(name, spec["cls"]())

    def join(self, *names, processing=()):
        for name in names:
            self.scheduler.workers[f"tcp://{name}"] = SimpleNamespace(
                name=name,
                address=f"tcp://{name}",
                processing=set(processing),
                has_what={},
                status=Status.running,
            )


class Jobs:
    startup, early_end = 10.0, "ended early"
    ladder = Ladder([SMALL, LARGE, GPU, NOBODY])

    def __init__(self):
        self.ended, self.refused, self.waiting = set(), "", ""
        self.closed = []

    def processes(self, tier):
        return 2 if tier == "large" else 1

    def spec(self, tier, name, slot):
        jobs = self

        class Job:
            problem = jobs.refused

            async def close(self):
                jobs.closed.append(name)

        return {"cls": Job, "slot": slot}

    async def gone(self, jobs):
        failed = {name: job.problem for name, job in jobs.items() if job.problem}
        return failed | {name: "" for name in jobs if name in self.ended}

    def is_passing(self, problem):
        return "busy" in problem

    def why_waiting(self, job):
        return self.waiting


class Play:
    def __init__(self):
        self.cluster, self.jobs = Cluster(), Jobs()
        self.adapting = Adapting(self.cluster, self.jobs)
        self.scheduler = self.cluster.scheduler

    def demand(self, tier, runs, seconds):
        said = {"runs": runs, "seconds": seconds, "threads": 1, "at": time.time()}
        self.scheduler.set_metadata([*DEMAND_KEY, "sweep"], {tier: said})

    async def look(self):
        await self.adapting.look()
        await asyncio.sleep(0.01)

    @property
    def names(self):
        return sorted(self.cluster.worker_spec)


@pytest.fixture
def play():
    def run(scene):
        async def whole():
            stage = Play()
            await stage.adapting.start()
            try:
                await scene(stage)
            finally:
                await stage.adapting.stop()

        asyncio.run(whole())

    return run


def test_the_ladder_is_said_without_the_tiers_on_which_nobody_works(play):
    async def scene(stage):
        assert [each["name"] for each in stage.scheduler.said(TIERS_KEY)] == [
            "small",
            "large",
            "gpu",
        ]
        assert stage.names == ["large-0"]  # its minimum of one worker, in a job of two
        await stage.adapting.scale("nobody", 1)
        assert stage.scheduler.said(TIERS_KEY)[-1]["name"] == "nobody"

    play(scene)


def test_jobs_come_with_the_demand_and_go_when_they_were_idle_for_long_enough(play):
    async def scene(stage):
        stage.demand("small", runs=100, seconds=60.0)
        await stage.look()
        assert stage.names == ["large-0", "small-0", "small-1", "small-2"]
        stage.cluster.join("small-0", "small-1")
        stage.demand("small", runs=0, seconds=0.0)
        await stage.look()
        assert len(stage.names) == 4  # not at once
        stage.scheduler.workers["tcp://small-0"].processing = {"a batch"}
        await asyncio.sleep(0.25)
        await stage.look()
        assert stage.names == ["large-0", "small-0"]  # it works on
        stage.scheduler.workers["tcp://small-0"].processing = set()
        await stage.look()
        await asyncio.sleep(0.25)
        await stage.look()
        assert stage.names == ["large-0"]
        assert stage.scheduler.workers == {}

    play(scene)


def test_a_number_by_hand_holds_at_once_whatever_the_demand(play):
    async def scene(stage):
        stage.demand("small", runs=100, seconds=60.0)
        assert await stage.adapting.scale("small", 1) == 3  # a job of large has two workers
        assert stage.names == ["large-0", "small-0"]
        await stage.adapting.scale("small", 0)
        await asyncio.sleep(0.01)
        assert stage.names == ["large-0"]
        await stage.adapting.scale("small", None)
        assert len(stage.names) == 4
        assert stage.scheduler.said(SCALE_KEY) == {"small": None}

    play(scene)


def test_a_job_that_is_gone_is_replaced_and_its_number_taken_again(play):
    async def scene(stage):
        stage.cluster.join("large-0-0")
        await stage.look()
        stage.jobs.ended.add("large-0")
        await stage.look()
        assert stage.names == ["large-1"]
        assert stage.cluster.worker_spec["large-1"]["slot"] == 0
        assert stage.jobs.closed == ["large-0"]

    play(scene)


def test_a_job_that_ends_before_its_worker_came_is_tried_a_few_times(play, monkeypatch):
    monkeypatch.setattr(adapting, "_PAUSES", (0.0, 0.0))

    async def scene(stage):
        for at in range(5):
            assert not stage.scheduler.said(PROBLEMS_KEY).get("large")
            stage.jobs.ended.add(f"large-{at}")
            await stage.look()
        await stage.look()
        assert stage.scheduler.said(PROBLEMS_KEY)["large"] is None  # one more was begun
        assert stage.names == ["large-5"]

    play(scene)


def test_what_the_queue_refuses_is_told_and_not_tried_every_second(play):
    async def scene(stage):
        stage.jobs.refused = "no such partition"
        stage.demand("small", runs=100, seconds=60.0)
        await stage.look()
        assert stage.names == ["large-0"]
        assert stage.scheduler.said(PROBLEMS_KEY)["small"] == "no such partition"
        serial = stage.adapting._serials["small"]
        await stage.look()
        assert stage.adapting._serials["small"] == serial

    play(scene)


def test_a_queue_that_is_busy_is_asked_again_before_anybody_hears_of_it(play, monkeypatch):
    monkeypatch.setattr(adapting, "_PAUSES", (0.0, 0.0))

    async def scene(stage):
        stage.jobs.refused = "busy"
        stage.demand("gpu", runs=1, seconds=60.0)
        await stage.look()
        assert not stage.scheduler.said(PROBLEMS_KEY).get("gpu")
        stage.jobs.refused = ""
        await stage.look()
        assert stage.names == ["gpu-1", "large-0"]

    play(scene)


def test_why_jobs_wait_is_said_until_they_are_here(play):
    async def scene(stage):
        stage.jobs.waiting = "for nodes that are in use (Resources)"
        stage.demand("small", runs=100, seconds=40.0)
        await stage.look()
        said = {
            "small": "2 jobs wait for nodes that are in use (Resources)",
            "large": "1 job waits for nodes that are in use (Resources)",
        }
        assert stage.scheduler.said(WAITS_KEY) == stage.adapting.waits == said
        stage.cluster.join("small-0", "small-1", "large-0-0")
        stage.demand("small", runs=0, seconds=0.0)
        await stage.look()
        assert stage.scheduler.said(WAITS_KEY) == {}

    play(scene)


def test_what_the_queue_said_of_a_refused_job_stands_until_one_is_taken(play, monkeypatch):
    monkeypatch.setattr(adapting, "_PAUSES", (0.0, 0.0))

    async def scene(stage):
        stage.jobs.refused = "busy: " + "x" * 1000
        stage.demand("gpu", runs=1, seconds=60.0)
        await stage.look()
        said = stage.scheduler.said(WAITS_KEY)["gpu"]
        assert said.startswith("a job could not be started: busy: xxx")
        assert len(said) < 400
        stage.jobs.refused = ""
        await stage.look()
        assert stage.scheduler.said(WAITS_KEY) == {}

    play(scene)


def test_plain_dask_tasks_get_the_cheapest_worker_that_they_can_have(play):
    async def scene(stage):
        stage.scheduler.queued = [SimpleNamespace(resource_restrictions=None)]
        stage.scheduler.unrunnable = [SimpleNamespace(resource_restrictions={"GPU": 1})]
        await stage.look()
        assert stage.names == ["gpu-0", "large-0", "small-0"]

    play(scene)


def test_to_wait_in_the_queue_makes_no_worker_less_worth_its_start(play):
    async def scene(stage):
        stage.jobs.waiting = "for nodes that are in use (Resources)"
        stage.demand("small", runs=100, seconds=12.0)
        await stage.look()
        assert stage.names == ["large-0", "small-0"]
        await asyncio.sleep(2.5)
        await stage.look()
        stage.jobs.waiting = ""
        stage.cluster.join("small-0")
        await stage.look()  # started in a moment, so that a second's work is worth another
        await stage.look()
        assert stage.names == ["large-0", "small-0", "small-1", "small-2", "small-3"]

    play(scene)
