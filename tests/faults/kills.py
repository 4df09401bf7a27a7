"""kill -9 of every process there is, at every point that matters."""

import os
import signal
import time
from collections.abc import Callable

from injection import Point, arm
from lab import Cluster, Process, wait_for
from registry import fault
from rounds import Round

WHENS = ("before", "torn", "after")
SHORT = {"marker": 3, "delete": 2}
"""Phases that make but few changes."""


def point(round_: Round, phases: tuple[str, ...], *, entries: int, changes: int) -> Point:
    """Return a point that the seed chooses; small numbers are likelier, so that it is reached."""
    rng = round_.rng
    phase = str(rng.choice(phases))
    return Point(
        phase=phase,
        entry=1 + int(rng.integers(entries)),
        change=int(rng.integers(min(changes, SHORT.get(phase, changes)))),
        when=str(rng.choice(WHENS)),
    )


def kill_a_worker(round_: Round, where: Point) -> None:
    """Have a worker die at a point; its driver goes on."""
    cluster = round_.lab.cluster()
    arm(cluster.point_file, where)
    with round_.read_all_the_while():
        driver = round_.driver(cluster)
        driver.finish()
    round_.must_end_well(driver)
    round_.victims += int(round_.has_struck(cluster.point_file))


def kill_a_driver(round_: Round, where: Point, cluster: Cluster | None, **request: object) -> None:
    """Have a driver die at a point; another one goes on at once."""
    arm(round_.point_file, where)
    with round_.read_all_the_while():
        driver = round_.driver(cluster, **request)
        driver.finish()
        if round_.has_struck(round_.point_file):
            round_.victims += 1 if cluster is None else 2
        round_.look()
        round_.finish(cluster, **request)


@fault("kill -9", kinds=("slow", "fast", "staged", "wide", "ragged"))
def worker_at_its_journal(round_: Round) -> None:
    entries = {"slow": 70, "fast": 8, "wide": 10, "ragged": 6, "staged": 60}[round_.kind]
    kill_a_worker(round_, point(round_, ("journal",), entries=entries, changes=1))


@fault("kill -9", kinds=("fast",))
def worker_at_a_chunk(round_: Round) -> None:
    kill_a_worker(round_, point(round_, ("chunk",), entries=4, changes=9))


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def worker_at_any_time(round_: Round) -> None:
    kill_at_any_time(round_, lambda cluster, name: os.kill(cluster.workers()[name], signal.SIGKILL))


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def nanny_at_any_time(round_: Round) -> None:
    kill_at_any_time(round_, lambda cluster, name: cluster.nannies[name].kill())


def kill_at_any_time(round_: Round, kill: Callable[[Cluster, str], None]) -> None:
    """Kill a worker or its nanny, with which the worker ends, some time after the first run."""
    cluster = round_.lab.cluster()
    with round_.read_all_the_while():
        driver = round_.driver(cluster)
        wait_for_calls(round_, driver, round_.rng.uniform(0.05, 0.8))
        name = str(round_.rng.choice(sorted(cluster.workers())))
        round_.verdict.has_hit = driver.is_alive
        kill(cluster, name)
        driver.finish()
    round_.must_end_well(driver)
    round_.victims += 1


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def driver_at_its_own_journal(round_: Round) -> None:
    entries = {"slow": 100, "fast": 12, "ragged": 8, "staged": 80}[round_.kind]
    where = point(round_, ("journal", "journal", "new journal"), entries=entries, changes=1)
    if where.phase == "new journal":
        where = point(round_, ("new journal",), entries=1, changes=4)
    kill_a_driver(round_, where, None)


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def driver_at_its_beginning(round_: Round) -> None:
    phases = ("create", "take over", "extend", "schema")
    kill_a_driver(round_, point(round_, phases, entries=1, changes=24), None)


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def driver_folding(round_: Round) -> None:
    phases = ("fold", "state", "marker", "release", "delete")
    where = point(round_, phases, entries=2, changes=10)
    on_workers = round_.rng.random() < 0.5
    cluster = round_.lab.cluster() if on_workers else None
    kill_a_driver(round_, where, cluster, is_hasty=True)


@fault("kill -9", kinds=("slow", "wide", "staged", "ragged"))
def driver_patching_a_chunk(round_: Round) -> None:
    where = point(round_, ("patch",), entries=3, changes=12)
    kill_a_driver(round_, where, round_.lab.cluster(), is_hasty=True)


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def driver_extending(round_: Round) -> None:
    phases = ("extend", "extend", "take over", "fold")
    where = point(round_, phases, entries=2, changes=16)
    kill_a_driver(round_, where, None, parts=[0, 1])


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def driver_taking_over(round_: Round) -> None:
    with round_.read_all_the_while():
        first = round_.driver(None, is_hasty=True)
        wait_for_calls(round_, first, round_.rng.uniform(0.05, 0.9))
        first.kill()
        round_.victims += 1
        round_.look()
    where = point(round_, ("take over", "take over", "delete", "fold"), entries=1, changes=16)
    kill_a_driver(round_, where, None, is_hasty=True)


@fault("kill -9", kinds=("slow", "fast", "wide", "staged", "ragged"))
def driver_with_its_workers_left_alive(round_: Round) -> None:
    cluster = round_.lab.cluster()
    with round_.read_all_the_while():
        first = round_.driver(cluster)
        wait_for_calls(round_, first, round_.rng.uniform(0.05, 0.9))
        round_.verdict.has_hit = first.is_alive
        first.kill()
        round_.victims += 2
        round_.finish(cluster)


@fault("kill -9", kinds=("slow", "fast", "staged", "ragged"))
def all_at_once(round_: Round) -> None:
    cluster = round_.lab.cluster()
    with round_.read_all_the_while():
        first = round_.driver(cluster, is_hasty=bool(round_.rng.integers(2)))
        wait_for_calls(round_, first, round_.rng.uniform(0.05, 0.9))
        round_.verdict.has_hit = first.is_alive
        first.signal(signal.SIGKILL)
        cluster.kill_all()
        first.wait(10)
        round_.victims += 2
        round_.look()
        round_.finish(round_.lab.cluster() if round_.rng.random() < 0.3 else None)


@fault(
    "kill -9", kinds=("slow", "fast", "staged", "ragged"), needs="toolkit.stores.upkeep.compaction"
)
def driver_compacting(round_: Round) -> None:
    round_.finish(None, is_hasty=True)
    where = point(round_, ("compact",), entries=1, changes=24)
    kill_a_driver(round_, where, None, compact=True)


def wait_for_calls(round_: Round, driver: Process, share: float) -> None:
    """Wait until this share of the runs has been called, or the driver has ended."""
    size = share * round_.n_runs * 26  # bytes: a line for each run
    wait_for(lambda: round_.calls.stat().st_size > size or driver.wait(0), "the first runs")
    time.sleep(float(round_.rng.uniform(0, 0.02)))
