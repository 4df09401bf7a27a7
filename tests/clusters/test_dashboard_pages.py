"""Whoever reaches a dashboard's port: what is there to see, and nothing to change."""

import asyncio
import json
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import dask
import distributed  # noqa: F401  (its configuration has to be there before a part of it is set)
import pytest
import tornado.httpclient
import tornado.routing
import tornado.websocket

import toolkit as tk

NUMBER, LABEL, FROZEN = 86753.0625, "kumquat", "quince"
# The whole part of the number counts by itself only: it may stand within a time.
SECRET = re.compile(rf"{LABEL}|{FROZEN}|{re.escape(str(NUMBER))}|(?<!\d){int(NUMBER)}(?!\d)")
METHODS = ("GET", "POST", "PUT", "DELETE")
# A session for each page that was asked for would update itself for 15 s.
SHORT = {
    "distributed.scheduler.dashboard.bokeh-application.unused_session_lifetime_milliseconds": 1,
    "distributed.scheduler.dashboard.bokeh-application.check_unused_sessions_milliseconds": 200,
}
# What Dask's own schedulers have, whether ours has it or not; KEY is a task and PLACE a worker.
OF_DASK = (
    *("info", "info/main/workers.html", "info/main/exceptions.html", "info/main/logs.html"),
    *("info/worker/PLACE.html", "info/logs/PLACE.html", "info/call-stacks/PLACE.html"),
    *("info/task/KEY.html", "info/call-stack/KEY.html", "individual-plots.json"),
    *("json/counts.json", "json/identity.json", "json/index.html", "sitemap.json"),
    *("api/v1", "api/v1/retire_workers", "api/v1/get_workers", "api/v1/adaptive_target"),
    *("api/v1/check_idle", "proxy/PORT/127.0.0.1/status", "jupyter", "jupyter/api/shutdown"),
    *("exceptions", "individual-exceptions", "hardware", "metrics", "health", "status"),
)


def slow(power, fruit, basket, until):
    while power == -1 and not os.path.exists(until):
        time.sleep(0.05)
    return len(fruit) + len(basket["content"]) + power


def fail(value):
    raise ValueError(f"{value} is too much")


def patterns(router) -> Iterator[str]:
    for rule in router.rules:
        if isinstance(rule.matcher, tornado.routing.PathMatches):
            yield rule.matcher.regex.pattern
        if isinstance(rule.target, tornado.routing.RuleRouter):
            yield from patterns(rule.target)


def served(scheduler) -> set[str]:
    """Return the patterns of all pages that a scheduler has."""
    application = scheduler.http_application
    return {
        pattern
        for each in (application, *application.applications)
        for router in (each.default_router, each.wildcard_router)
        for pattern in patterns(router)
    }


def addresses(scheduler, port, patterns) -> set[str]:
    """Return paths that reach each of these pages, and each that a scheduler of Dask has."""
    keys = [quote(str(key), safe="") for key in _some_of(scheduler.tasks)]
    place = quote(next(iter(scheduler.workers)), safe="")
    found = {
        path.replace("KEY", key).replace("PLACE", place).replace("PORT", str(port))
        for path in (f"/{each}" for each in OF_DASK)
        for key in keys
    }
    plain = (pattern.removesuffix("$").replace("/?", "") for pattern in patterns)
    return found | {re.sub(r"\(.*\)", keys[0], path) for path in plain}


def _some_of(tasks) -> list[object]:
    """Return at most two tasks of each state."""
    by_state = {}
    for key, task in list(tasks.items()):
        by_state.setdefault(task.state, []).append(key)
    return [key for keys in by_state.values() for key in keys[:2]]


def ask(method: str, url: str, body: bytes | None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=body, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def documents(link: str, pages: list[str]) -> dict[str, str]:
    """Return what each page of the dashboard holds after a while, as text."""
    from bokeh.client import pull_session

    sessions = {page: pull_session(url=link + page) for page in pages}
    time.sleep(1.0)
    found = {}
    for page, session in sessions.items():
        session.pull()
        found[page] = json.dumps(session.document.to_json(), default=_plain)
        session.close()
    return found


def _plain(value: object) -> str:
    return repr(getattr(value, "content", value)) + "".join(
        bytes(each.data).decode("latin-1") for each in getattr(value, "buffers", None) or ()
    )


async def _listen(url: str, seconds: float) -> str:
    """Return what a socket of events tells in some seconds, ``""`` where there is none."""
    try:
        socket = await tornado.websocket.websocket_connect(url, connect_timeout=5)
    except (OSError, tornado.httpclient.HTTPClientError):
        return ""
    said = []
    while (message := await asyncio.wait_for(socket.read_message(), seconds)) is not None:
        said.append(message)
    return "".join(said)


def check_dashboard(cluster, store, *, pages=None) -> None:
    """Run a sweep and ask for everything meanwhile; see that nothing is told and nothing changes.

    Pages of the dashboard: all, where none are named.
    """
    client, scheduler = cluster.client, cluster._cluster.scheduler
    link = cluster.dashboard_link.rpartition("/")[0]
    basket = {"content": [FROZEN] * 5}
    until = store.with_suffix(".until")
    space = tk.grid(power=[NUMBER, *range(-1, 50)], fruit=[LABEL, LABEL + "s"], until=str(until))
    sweep = tk.Sweep(slow, space, frozen={"basket": basket}, store=store)
    broken = tk.Sweep(fail, {"value": [LABEL, NUMBER]})
    future = client.submit(fail, LABEL, key="task-0")
    assert LABEL in str(future.exception())  # the scheduler knows it
    with pytest.raises(tk.ToolkitError):
        broken.run(client, progress=False)
    job = sweep.start(client)
    while not job.progress.done:
        time.sleep(0.1)
    workers = client.run(os.getpid)
    port = int(link.rpartition(":")[2])
    bodies = [json.dumps({"n": 1}).encode(), json.dumps({"workers": list(workers)}).encode()]
    codes = {}
    for path in sorted(addresses(scheduler, port, pages or served(scheduler))):
        for method in METHODS:
            for body in bodies if method == "POST" else [None]:
                codes[path, method], said = ask(method, link + path, body)
                assert not SECRET.search(said.decode(errors="replace")), (path, method)
    assert codes["/status", "GET"] == codes["/health", "GET"] == 200
    assert {code for (_, method), code in codes.items() if method != "GET" and code < 400} == set()
    assert asyncio.run(_listen(link.replace("http", "ws") + "/eventstream", 2.0)) == ""

    if pages is None:
        pages = sorted({each.removesuffix("/ws$") for each in served(scheduler) if "/ws" in each})
    assert "/status" in pages
    for page, said in documents(link, pages).items():
        assert not SECRET.search(said), page

    assert client.run(os.getpid) == workers
    assert [str(key) for key in scheduler.tasks if str(key).startswith("task-")] == ["task-0"]
    assert job.progress.pending
    until.touch()
    data = job.result()
    assert set(data.attempts.values.ravel().tolist()) == {1}
    assert int((data.status == tk.Status.DONE).sum()) == len(space)


def test_no_page_of_the_dashboard_tells_a_value_or_changes_anything(tmp_path):
    with dask.config.set(SHORT), tk.cluster("local", dashboard="127.0.0.1:0") as cluster:
        check_dashboard(cluster, tmp_path / "t.zarr")
