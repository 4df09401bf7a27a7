import os
import signal
import threading
import time

import numpy as np
import pytest

import toolkit as tk
from toolkit.errors import StoreError
from toolkit.stores.journals.journal import Journal

SIZE = 40_000  # 30 of these are 10 MB


def arrays(x):
    buffer = np.full(SIZE, float(x))
    return {f"a{i}": buffer * i for i in range(30)}


def reuses_its_buffer(x, _buffer=[]):  # noqa: B006  (that is the point)
    if not _buffer:
        _buffer.append(np.zeros(10 * SIZE))
    time.sleep(0.002)
    _buffer[0][:] = x
    return {"v": _buffer[0]}


def test_thirty_arrays_a_run_are_all_saved(client, tmp_path):
    data = tk.Sweep(arrays, {"x": range(8)}, store=tmp_path / "a.zarr").run(client, progress=False)
    for i in (0, 7, 29):
        assert (data[f"a{i}"] == data.x * i).all()
    assert (data.attempts == 1).all()


def test_a_buffer_that_is_used_again_does_not_change_what_is_saved(client, tmp_path):
    sweep = tk.Sweep(reuses_its_buffer, {"x": range(12)}, store=tmp_path / "b.zarr")
    data = sweep.run(client, progress=False)
    assert (data.v == data.x).all()


def test_large_outcomes_are_written_by_a_thread_of_their_own(tmp_path, monkeypatch):
    writers, append = set(), Journal.append

    def watched(journal, buffers):
        if sum(map(len, buffers)) > 1 << 20:
            writers.add(threading.current_thread().name)
        append(journal, buffers)

    monkeypatch.setattr(Journal, "append", watched)
    data = tk.Sweep(arrays, {"x": range(4)}, store=tmp_path / "c.zarr").run(progress=False)
    assert (data.a3 == data.x * 3).all()
    assert writers == {"toolkit-writer"}


def test_an_error_of_the_writer_ends_the_sweep_and_what_is_written_stays(tmp_path, monkeypatch):
    append, full = Journal.append, []

    def fills(journal, buffers):
        if sum(map(len, buffers)) > 1 << 20:
            full.append(1)
            if len(full) > 3:
                raise OSError(28, "No space left on device")
        append(journal, buffers)

    monkeypatch.setattr(Journal, "append", fills)
    path = tmp_path / "d.zarr"
    sweep = tk.Sweep(arrays, {"x": range(20)}, store=path)
    with pytest.raises(StoreError, match="No space left"):
        sweep.run(order="given", progress=False)
    monkeypatch.undo()
    done = int((tk.open(path).status == tk.Status.DONE).sum())
    assert done == 3
    assert (sweep.run(progress=False).status == tk.Status.DONE).all()


def small(x):
    return x


def test_small_outcomes_are_not_handed_over(tmp_path, monkeypatch):
    def refuse(*args):
        raise AssertionError("a small outcome was handed over")

    monkeypatch.setattr("toolkit.stores.arrays.writer.Writer.put", refuse)
    data = tk.Sweep(small, {"x": range(50)}, store=tmp_path / "e.zarr").run(progress=False)
    assert (data.small == data.x).all()


def dies_once(x, folder):
    time.sleep(0.002)
    marker = os.path.join(folder, "died")
    if x == 5 and not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return arrays(x)


@pytest.mark.faults
def test_a_run_whose_outcome_was_not_written_yet_is_not_blamed_for_a_death(client, tmp_path):
    sweep = tk.Sweep(
        dies_once, {"x": range(10), "folder": [str(tmp_path)]}, store=tmp_path / "f.zarr"
    )
    data = sweep.run(client, progress=False)
    assert (data.status == tk.Status.DONE).all()
    assert (data.a29 == data.x * 29).all()
    assert int(data.attempts.max()) == 2
    assert int((data.attempts == 2).sum()) == 1
