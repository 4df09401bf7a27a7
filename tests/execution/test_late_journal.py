"""What a worker on another machine has written comes into sight later."""

import threading
import time
from pathlib import Path

import numpy as np

import toolkit as tk
from toolkit.stores.journals.tails import Tails

HIDDEN = []  # not empty while nothing new is in sight


def measure(x):
    time.sleep(0.002)
    if x == 5 and not HIDDEN:
        HIDDEN.append(True)
        threading.Timer(1.0, HIDDEN.clear).start()
    return x


def test_a_sweep_waits_for_what_is_not_in_sight_yet(tmp_path, monkeypatch):
    store, reads = tmp_path / "s", Tails.read

    def sees_nothing(tails):
        return iter(()) if HIDDEN else reads(tails)

    def is_late(tails):
        return bool(HIDDEN)

    monkeypatch.setattr(Tails, "read", sees_nothing)
    monkeypatch.setattr(Tails, "late", is_late)

    began = time.monotonic()
    tk.Sweep(measure, {"x": range(20)}, store=store).run(order="given", progress=False)
    assert time.monotonic() - began > 0.9
    data = tk.open(store)
    assert np.array_equal(data.measure.values, data.x.values)
    assert (data.status == tk.Status.DONE).all()


def test_a_journal_is_late_while_it_is_shorter_than_it_was_written(tmp_path):
    store = tmp_path / "s"
    tk.Sweep(lambda x: x, {"x": range(3)}, store=store).run(progress=False)
    folder = Path(store, ".journal")
    journal = folder / "worker.journal"
    journal.write_bytes(b"\0" * 5000)
    tails = Tails(str(store), "another")
    assert not tails.late()
    tails.tails["worker.journal"] = type("Tail", (), {"path": str(journal), "offset": 5000})()
    tails.expect("worker.journal", 8000)
    assert tails.late()
    journal.write_bytes(b"\0" * 8000)
    assert not tails.late()  # what cannot be read by now is damaged
    assert tails.unread() == {"worker.journal": 5000}
