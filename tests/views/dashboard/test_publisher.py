"""What is posted, and that posting never harms a sweep; the scheduler is a stand-in here."""

import logging
import threading
import time

import pytest

from tests.views import specimens
from toolkit.views.dashboard import publisher as publishers
from toolkit.views.dashboard.board import HELLO, POST, WANTED, Board
from toolkit.views.dashboard.publisher import Publisher, place_of

VIEW = ("fit", "beta", "model")


class Scheduler:
    """Answers as the plugin does."""

    def __init__(self, board, page="/individual-sweep", key=None):
        self.board = board
        setattr(self, POST, self.post)
        setattr(self, WANTED, board.wanted)
        setattr(self, HELLO, lambda: {"page": page, "why": "it is so", "key": key})

    def post(self, **posted):
        return self.board.post(**posted)


class Client:
    """As much of a Dask client as a publisher uses."""

    status, id = "running", "client-1"
    dashboard_link = "http://node1:8787/status"

    def __init__(self, refuses=None, **more):
        self.board = Board(is_open=True)
        self.scheduler = Scheduler(self.board, **more)
        self.refuses = refuses
        self.registered = 0

    def register_plugin(self, plugin):
        self.registered += 1
        if self.refuses is not None:
            raise self.refuses

    def sync(self, call, callback_timeout, **told):
        return call(**told)


class Source:
    """A sweep of which somebody is told."""

    title = "parcels.zarr"

    def __init__(self, client):
        self.client = client
        self.now = specimens.in_the_middle()
        self.drawn = []

    def snapshot(self):
        return self.now

    def views(self):
        return [VIEW, ("fit", "model", "beta")]

    def draw(self, view):
        self.drawn.append(view)
        return {"shape": [1, 1]}


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(publishers, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(publishers, "_EVERY_SECONDS", 0.01)


def begun(source):
    found = Publisher("a", source)
    found.begin()
    return found


def wait_for(is_so, seconds=10.0):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_maps_are_drawn_while_somebody_looks_and_all_of_them_at_the_end(quick):
    source = Source(Client())
    board = source.client.board
    posting = begun(source)
    wait_for(lambda: posting.posts > 3)
    assert source.drawn == []
    board.want("a", VIEW)
    wait_for(lambda: source.drawn)
    assert set(source.drawn) == {VIEW}
    assert board.find().document == source.now.document()
    source.now = specimens.at_the_end()
    posting.end()
    assert board.find().document == specimens.at_the_end().document()
    assert set(board.find().maps) == set(source.views())


def test_a_sweep_that_ends_at_once_is_posted_once():
    source = Source(Client())
    posting = begun(source)
    posting.end()
    assert posting.posts == 1
    assert source.client.board.find().title == "parcels.zarr"


def test_nothing_is_posted_where_no_cluster_is_used(quick):
    source = Source(None)
    posting = begun(source)
    time.sleep(0.05)
    posting.end()
    assert (posting.posts, posting.link) == (0, None)


def test_a_scheduler_that_refuses_plugins_is_told_of_once_in_one_sentence(quick, caplog):
    source = Source(Client(refuses=ValueError("Cannot register\nmore lines")))
    for _ in range(2):
        posting = begun(source)
        wait_for(lambda: source.client.registered)
        posting.end()
        assert posting.link is None
        assert posting.posts == 0
    assert source.client.registered == 1
    [record] = [each for each in caplog.records if each.name == "toolkit"]
    assert record.levelno == logging.WARNING
    assert "ValueError: Cannot register" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_an_error_while_posting_ends_the_posts_and_is_told_once(quick, caplog):
    source = Source(Client())
    source.snapshot = lambda: 1 / 0
    posting = begun(source)
    wait_for(lambda: caplog.records)
    posting.end()
    assert ["ZeroDivisionError" in each.getMessage() for each in caplog.records] == [True]


def test_the_end_of_a_sweep_waits_for_its_last_post_for_seconds_only(quick, monkeypatch):
    monkeypatch.setattr(publishers, "_LAST_SECONDS", 0.2)
    source = Source(Client())
    may_go_on = threading.Event()
    source.snapshot = lambda: may_go_on.wait(60) and specimens.in_the_middle()
    posting = begun(source)
    began = time.monotonic()
    posting.end()
    assert time.monotonic() - began < 5
    may_go_on.set()


def test_looks_that_cost_much_are_rare(monkeypatch):
    monkeypatch.setattr(publishers, "_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(publishers, "_EVERY_SECONDS", 0.02)
    source = Source(Client())

    def costly():
        until = time.thread_time() + 0.02  # seconds of this thread on a core
        while time.thread_time() < until:
            pass
        return specimens.in_the_middle()

    source.snapshot = costly
    posting = begun(source)
    time.sleep(1.5)
    assert posting.posts == 3  # two that are not counted, and one; then it waits for 4 s
    source.client.board.want("a", VIEW)
    wait_for(lambda: source.drawn)  # but not where somebody begins to look
    posting.end()


def test_the_link_holds_the_key_where_there_is_one():
    client = Client(key="a b")
    assert place_of(client).link == "http://node1:8787/individual-sweep?key=a+b"
    assert place_of(Client()).link == "http://node1:8787/individual-sweep"
    assert place_of(Client(page=None)).link is None
