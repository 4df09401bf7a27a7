"""The lock of a store: one driver at a time, and no dead one stands in the way."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict

import pytest

from toolkit.errors import StoreError
from toolkit.stores.files.lock import FILE, Holder, Lock, process_start, read_holder
from toolkit.stores.zarr_store import ZarrStore


@pytest.fixture
def store(tmp_path):
    (tmp_path / ".journal").mkdir()
    return str(tmp_path)


def write(store, **changes):
    given = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "process_start": process_start(os.getpid()),
        "token": "other",
        "since": time.time(),
        "beat": 0,
    }
    holder = Holder(**{**given, **changes})
    with open(os.path.join(store, FILE), "w", encoding="utf-8") as file:
        json.dump(asdict(holder), file)
    return holder


def test_a_second_driver_is_told_who_holds_the_store(store):
    first = Lock(store)
    first.acquire()
    with pytest.raises(
        StoreError, match=rf"in use by process {os.getpid()} on .*, since 20.*delete"
    ):
        Lock(store).acquire()
    first.check()
    first.release()
    second = Lock(store)
    second.acquire()
    second.release()
    assert read_holder(store) is None


def test_the_lock_of_a_dead_process_is_taken_over(store):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    write(store, pid=dead.pid, process_start="1")
    lock = Lock(store)
    lock.acquire()
    lock.release()


def test_a_number_that_another_process_has_now_is_no_holder(store):
    write(store, process_start="1")
    lock = Lock(store)
    lock.acquire()
    lock.release()


def test_a_silent_lock_of_another_host_is_taken_over(store):
    said = []
    write(store, host="elsewhere")
    lock = Lock(store, heartbeat_s=0.02, say=said.append)
    lock.acquire()
    assert "Watching" in said[0]
    assert "elsewhere" in said[0]
    lock.release()


def test_a_beating_lock_of_another_host_is_respected(store):
    stop = threading.Event()

    def beat():
        number = 0
        while not stop.wait(0.01):
            number += 1
            holder = Holder(
                host="elsewhere", pid=1, process_start="1", token="other", since=0.0, beat=number
            )
            text = json.dumps(asdict(holder))
            temporary = os.path.join(store, "t")
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(temporary, os.path.join(store, FILE))

    write(store, host="elsewhere")
    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(StoreError, match="on elsewhere"):
            Lock(store, heartbeat_s=0.2).acquire()
    finally:
        stop.set()
        thread.join()


def test_a_lock_that_was_lost_stops_its_driver(store):
    lock = Lock(store)
    lock.acquire()
    write(store, token="new", pid=4)
    with pytest.raises(StoreError, match=r"taken over.*process 4"):
        lock.check()
    lock.release()
    assert read_holder(store).token == "new"


def test_a_holder_beats(store):
    lock = Lock(store, heartbeat_s=0.01)
    lock.acquire()
    end = time.monotonic() + 5
    while read_holder(store).beat < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert read_holder(store).beat >= 2
    lock.release()


def test_a_torn_lock_is_no_lock(store):
    with open(os.path.join(store, FILE), "w", encoding="utf-8") as file:
        file.write('{"host": "x"')
    lock = Lock(store)
    lock.acquire()
    lock.release()


def test_one_of_many_gets_it(store):
    write(store, process_start="1")
    code = (
        "import sys\nfrom toolkit.stores.files.lock import Lock\n"
        "from toolkit.errors import StoreError\n"
        "lock = Lock(sys.argv[1])\nsys.stdin.readline()\n"
        "try:\n    lock.acquire()\n    print('got', flush=True)\n"
        "except StoreError:\n    print('no', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", code, store],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for one in crowd:
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.stdout.readline().strip() for one in crowd]
    for one in crowd:
        one.communicate("\n")
    assert sorted(said) == ["got", "no", "no"]


def test_a_folder_in_place_of_the_lock_is_said(tmp_path):
    store = ZarrStore.create_or_open(tmp_path / "s.zarr")
    lock = tmp_path / "s.zarr" / ".journal" / "lock.json"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    with pytest.raises(StoreError, match=r"no plain file .*lock\.json"):
        store.acquire()
    assert lock.is_dir()
