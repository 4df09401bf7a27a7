"""Who owns a store: two drivers, workers that were given up, a scheduler that is gone."""

import contextlib
import os
import shutil
import signal
import time

from kills import wait_for_calls
from lab import wait_for
from registry import fault
from rounds import Round


@fault("owner", kinds=("slow", "fast", "staged", "ragged"))
def two_drivers_on_one_store(round_: Round) -> None:
    with round_.read_all_the_while():
        drivers = [round_.driver(None)]
        time.sleep(float(round_.rng.uniform(0, 0.3)))
        drivers.append(round_.driver(None))
        for driver in drivers:
            driver.finish()
    said = [(driver.outcome or {}).get("error", "it died") for driver in drivers]
    refused = [error for error in said if error is not None]
    round_.verdict.has_hit = bool(refused)
    for error in refused:
        if not error.startswith("StoreError") or "in use by process" not in error:
            round_.complain(f"a driver that came second said: {error}")
    if len(refused) == 2:
        round_.complain("both drivers were refused")


@fault("owner", kinds=("slow", "fast", "staged", "ragged"))
def scheduler_killed_with_its_workers_left_alive(round_: Round) -> None:
    cluster = round_.lab.cluster()
    with round_.read_all_the_while():
        driver = round_.driver(cluster)
        wait_for_calls(round_, driver, round_.rng.uniform(0.05, 0.8))
        round_.verdict.has_hit = driver.is_alive
        cluster.scheduler.kill()
        driver.finish()
        outcome = driver.outcome
        if outcome is None:
            round_.complain("the driver died of its scheduler's end")
        round_.victims += 2
        round_.look()
        round_.finish(None if round_.rng.random() < 0.5 else round_.lab.cluster())


@fault("owner", kinds=("slow",))
def worker_cut_off_and_awake_again(round_: Round) -> None:
    cluster = round_.lab.cluster(ttl="2s")
    with round_.read_all_the_while():
        driver = round_.driver(cluster)
        wait_for_calls(round_, driver, round_.rng.uniform(0.1, 0.7))
        name = str(round_.rng.choice(sorted(cluster.workers())))
        pid = cluster.workers()[name]
        round_.verdict.has_hit = driver.is_alive
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        if round_.rng.random() < 0.5:
            driver.finish()  # the others do it all; it wakes up when all is done
        else:
            time.sleep(float(round_.rng.uniform(2.5, 4)))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
        driver.finish()
        wait_for(lambda: len(cluster.workers()) == 2, "that worker or another")
    round_.must_end_well(driver)
    round_.victims += 1
    for ledger in round_.ledgers:
        ledger.allowed += round_.largest_batch()  # what it had in hand when it woke up


@fault("owner", kinds=("slow", "fast", "staged", "ragged"))
def store_copied_and_moved_while_idle(round_: Round) -> None:
    round_.finish(None, parts=[0])
    round_.look()
    copy, moved = round_.folder / "copy.zarr", round_.folder / "elsewhere" / "moved.zarr"
    shutil.copytree(round_.store, copy)
    moved.parent.mkdir()
    round_.store.rename(moved)
    round_.store = moved
    with round_.read_all_the_while():
        round_.finish(None, store=str(moved))
    for ledger in round_.ledgers:
        sight = ledger.look(copy)
        half = ledger.truth.n_runs // 2
        if sight is None or sight.faults or sight.done.sum() != half:
            round_.complain(f"the copy does not hold what the store held of {ledger.part.stage}")
    before = sum(counts.sum() for counts in round_.call_counts())
    again = round_.driver(None, store=str(copy), parts=[0])
    again.finish()
    round_.must_end_well(again)
    if sum(counts.sum() for counts in round_.call_counts()) != before:
        round_.complain("what the copy holds ran again")
