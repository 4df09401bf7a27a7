"""SIGTERM, with which job queues end a job, stops scripts as Ctrl-C does."""

import signal
import subprocess
import sys
import time

import pytest

import toolkit as tk

SCRIPT = """
import time
import toolkit as tk
import toolkit.execution.interrupting as interrupting

interrupting.GRACE_S, interrupting._LAST_S = {grace}, 1.0

def model(x):
    open("began", "a").write("r")
    time.sleep({seconds})
    return x

sweep = tk.Sweep(model, {{"x": range({runs})}}, store="s.zarr")
if __name__ == "__main__":
    before = __import__("signal").getsignal(15)
    try:
        sweep.run({client}, progress=False)
    except (tk.InterruptedSweepError, KeyboardInterrupt) as error:
        print(type(error).__name__)
    assert __import__("signal").getsignal(15) is before
"""


def told_to_end(folder, *, times=1, **numbers):
    numbers = {"grace": 20.0, "client": "None", **numbers}
    (folder / "study.py").write_text(SCRIPT.format(**numbers))
    driver = subprocess.Popen(
        [sys.executable, "study.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (folder / "began").exists():
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for _ in range(times):
        driver.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    out, err = driver.communicate(timeout=120)
    assert driver.returncode == 0, err
    return out.strip(), err


def done(folder):
    return int((tk.open(folder / "s.zarr").status == tk.Status.DONE).sum())


def test_runs_in_progress_are_finished_and_stored_however_often_it_comes(tmp_path):
    how, said = told_to_end(tmp_path, times=3, seconds=1.5, runs=50)
    assert how == "InterruptedSweepError"
    assert said.count("SIGTERM") == 1
    assert done(tmp_path) == len((tmp_path / "began").read_text()) == 1


@pytest.mark.parametrize("client", ["None", '"local"'])
def test_a_long_run_is_given_back_before_the_kill(tmp_path, client):
    how, _ = told_to_end(tmp_path, seconds=1000, runs=2, grace=0.5, client=client)
    assert how == ("KeyboardInterrupt" if client == "None" else "InterruptedSweepError")
    assert done(tmp_path) == 0
    assert not (tmp_path / "s.zarr/.journal/lock.json").exists()
    assert not len(tk.failures(tmp_path / "s.zarr"))
