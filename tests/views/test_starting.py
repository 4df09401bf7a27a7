"""A job that starts a cluster of its own; beside another cluster it would use that one."""

import threading
import time

import pytest

import toolkit as tk
from tests.views.schema import assert_described
from tests.views.test_stored import wait_for
from toolkit.views.live import snapshot_of


def test_while_its_own_cluster_starts_a_job_is_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    from toolkit.execution import session

    resolve, is_asked, may_go_on = session.resolve_client, threading.Event(), threading.Event()

    def slowly(given: object) -> object:
        if given == "local":
            is_asked.set()
            assert may_go_on.wait(60)
        return resolve(given)

    monkeypatch.setattr(session, "resolve_client", slowly)

    def slow(x):
        time.sleep(0.02)
        return x

    job = tk.Sweep(slow, {"x": range(300)}).start()
    try:
        assert is_asked.wait(60)
        found = snapshot_of(job)
        assert found.state == "starting"
        assert found.message == "the workers of a cluster on this machine start"
        assert found.workers == ()
        may_go_on.set()
        wait_for(lambda: snapshot_of(job).state == "running")
        wait_for(lambda: len(snapshot_of(job).workers) > 0)
        worker = snapshot_of(job).workers[0]
        assert (worker.threads, worker.tier) == (1, "cpu")
        assert worker.memory > 0
        wait_for(lambda: len(snapshot_of(job).tiers) > 0)
        found = snapshot_of(job)
        [tier] = found.tiers
        assert (tier.name, tier.workers) == ("cpu", len(found.workers))
        assert found.dashboard_link == job.dashboard_link
        assert_described(found.document())
    finally:
        may_go_on.set()
        job.cancel()
    ended = snapshot_of(job)
    assert ended.spent.core_hours > 0
    assert ended.tiers[0].spent.core_hours == pytest.approx(ended.spent.core_hours)
