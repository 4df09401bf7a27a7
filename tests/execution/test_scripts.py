"""Scripts as their users write them: no guard, own modules beside them, Ctrl-C, kill -9."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import toolkit as tk

SLOW = """
import sys, time
import toolkit as tk

def slow(x):
    time.sleep(0.005)
    return x * x

sweep = tk.Sweep(slow, {"x": range(1200)}, store="slow.zarr")
"""


def script(folder, text, name="study.py"):
    (folder / name).write_text(text)
    return folder / name


def start(path, **kwargs):
    return subprocess.Popen(
        [sys.executable, str(path)],
        cwd=path.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **kwargs,
    )


def finish(path, timeout=90):
    process = start(path)
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out


def wait_until(claim, process, timeout=60):
    end = time.monotonic() + timeout
    while not claim():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < end
        time.sleep(0.05)


def done_of(store):
    try:
        return int(tk.status(store).done.sum())
    except tk.StoreError:
        return 0


def test_a_script_needs_no_main_guard_and_its_modules_travel_with_it(tmp_path):
    script(tmp_path, "RATE = 3\ndef scale(x):\n    return RATE * x\n", "model.py")
    study = script(
        tmp_path,
        """
import os, time
import toolkit as tk
import model

print("imported by", os.getpid())

def run(x):
    time.sleep(0.004)
    return {"y": model.scale(x), "pid": os.getpid()}

data = tk.Sweep(run, {"x": range(1200)}).run(progress=False)
assert (data.y == 3 * data.x).all()
elsewhere = data.pid != os.getpid()  # all but the first wave
assert elsewhere.mean() > 0.8
assert (data.y.where(elsewhere, drop=True) == 3 * data.x.where(elsewhere, drop=True)).all()
""",
    )
    out = finish(study)
    assert out.count("imported by") == 1


def test_an_edited_module_is_not_run_in_its_old_version_by_living_workers(
    tmp_path, client, monkeypatch
):
    import importlib

    # Edited within a second to the same length, a module looks unchanged to Python's own cache.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.path.insert(0, str(tmp_path))
    try:
        values = []
        for version in (1, 2):
            script(tmp_path, f"def answer(x):\n    return {version} * 10 + x\n", "edited_model.py")
            importlib.invalidate_caches()
            module = importlib.import_module("edited_model")
            module = importlib.reload(module)

            def ask(x):
                return module.answer(x)  # noqa: B023

            data = tk.Sweep(ask, {"x": range(50)}).run(client, progress=False)
            values.append(int(data.ask.sel(x=1)))
        assert values == [11, 21]
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("edited_model", None)


def test_a_function_that_cannot_be_pickled_is_refused_and_the_culprit_named(client):
    import threading

    gate = threading.Lock()

    def guarded(x):
        with gate:
            return x

    with pytest.raises(tk.StageError, match="'gate'"):
        tk.Sweep(guarded, {"x": [1]}).run(client, progress=False)


def test_a_second_process_on_a_store_is_refused_with_the_name_of_the_first(tmp_path):
    study = script(tmp_path, SLOW + "sweep.run(progress=False)\n")
    process = start(study)
    try:
        wait_until(lambda: done_of(tmp_path / "slow.zarr") > 0, process)
        other = tk.Sweep(lambda x: x, {"x": [1]}, store=tmp_path / "slow.zarr")
        with pytest.raises(tk.StoreError, match=str(process.pid)):
            other.run(progress=False)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.faults
def test_ctrl_c_stores_what_ran_says_how_to_go_on_and_the_script_goes_on(tmp_path):
    study = script(tmp_path, SLOW + "sweep.run(progress=False)\nprint('all done')\n")
    process = start(study)
    wait_until(lambda: done_of(tmp_path / "slow.zarr") > 150, process)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "InterruptedSweepError" in err
    assert "Run the script again" in err
    before = done_of(tmp_path / "slow.zarr")
    assert 150 < before < 1200
    assert "all done" in finish(study)
    data = tk.open(tmp_path / "slow.zarr")
    assert (data.attempts == 1).all()
    assert np.array_equal(data.slow, data.x**2)


def killed_and_resumed(tmp_path, *, kills, n, log_calls):
    """Kill the whole process group at random moments, resume, return calls and the dataset."""
    study = script(
        tmp_path,
        f"""
import time
import toolkit as tk

def fit(beta, trial, rng):
    time.sleep(0.004)
    if {log_calls}:
        with open("calls", "a") as file:
            file.write(f"{{beta}} {{trial}}\\n")
    return {{"score": rng.normal() + beta, "curve": rng.random(3)}}

space = tk.grid(beta=[i / 100 for i in range({n // 10})], trial=tk.replicates(10))
tk.Sweep(fit, space, store="fit.zarr", seed=3).run(progress=False)
""",
    )
    moments = np.random.default_rng(n + kills)
    for _ in range(kills):
        before = done_of(tmp_path / "fit.zarr")
        process = start(study)
        wait_until(lambda: done_of(tmp_path / "fit.zarr") > before, process)  # noqa: B023
        time.sleep(moments.uniform(0, 1.0))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finish(study, timeout=300)
    return tk.open(tmp_path / "fit.zarr").load()


@pytest.mark.faults
def test_kill_9_in_the_middle_and_resume_equals_an_uninterrupted_sweep(tmp_path):
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    killed = killed_and_resumed(tmp_path / "killed", kills=3, n=1500, log_calls=True)
    whole = killed_and_resumed(tmp_path / "whole", kills=0, n=1500, log_calls=False)
    assert (killed.status == tk.Status.DONE).all()
    assert np.array_equal(killed.score, whole.score)
    assert np.array_equal(killed.curve, whole.curve)
    calls = (tmp_path / "killed" / "calls").read_text().splitlines()
    assert len(calls) - len(set(calls)) <= 3 * len(os.sched_getaffinity(0))


@pytest.mark.long
@pytest.mark.timeout(1500)
def test_ten_kills_of_a_sweep_of_half_a_minute_lose_nothing(tmp_path):
    (tmp_path / "killed").mkdir()
    (tmp_path / "whole").mkdir()
    killed = killed_and_resumed(tmp_path / "killed", kills=10, n=20_000, log_calls=True)
    whole = killed_and_resumed(tmp_path / "whole", kills=0, n=20_000, log_calls=False)
    assert np.array_equal(killed.score, whole.score)
    assert np.array_equal(killed.curve, whole.curve)
    calls = (tmp_path / "killed" / "calls").read_text().splitlines()
    assert len(calls) - len(set(calls)) <= 10 * len(os.sched_getaffinity(0))


CRASHING = """
import ctypes
import toolkit as tk

def model(x):
    if x == 3:
        ctypes.string_at(0)
    return 2 * x

sweep = tk.Sweep(model, {"x": range(6)}, store="crash.zarr")
data = sweep.run(progress=False)
print(sweep.failures().run.tolist(), data.model.sum().item())
"""


def test_a_run_that_crashed_its_script_is_named_when_it_is_run_again(tmp_path):
    path = script(tmp_path, CRASHING)
    process = start(path)
    process.communicate(timeout=90)
    assert process.returncode == -signal.SIGSEGV
    again = start(path)
    out, err = again.communicate(timeout=90)
    assert again.returncode == 0, err
    assert out == "[3] 24.0\n"
    assert "has died in run 3" in err
    [row] = tk.failures(tmp_path / "crash.zarr").to_dict("records")
    assert (row["reason"], row["exit_code"]) == ("worker died", -signal.SIGSEGV)
    assert finish(path) == "[3] 24.0\n"
