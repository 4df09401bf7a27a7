import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import Client

import toolkit as tk


def is_there(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {condition}")


def pids_in(folder, n=1):
    """Return the processes of n programs, when all have said theirs."""
    files = list(Path(folder).glob("pids-*"))
    found = [int(line) for file in files for line in file.read_text().split()]
    return found if len(files) >= n and ".new" not in str(files) else []


def sleeper(simulator, folder, seconds=600, **options):
    return tk.command(
        [
            simulator,
            "--flow",
            "{flow}",
            "--pids",
            f"{folder}/pids-{{flow}}",
            "--sleep",
            str(seconds),
        ],
        name="sleeper",
        max_attempts=1,
        **options,
    )


def test_programs_run_on_workers_with_their_failures(client, simulator):
    sim = tk.command(
        [simulator, "--flow", "{flow}", "--exit", "{code}", "--memory", "200", "--sleep", "0.02"]
    )
    sweep = tk.Sweep(sim, tk.grid(flow=np.arange(1, 13) / 10, code=[0, 4]))
    data = sweep.run(client, progress=False)
    assert (data.peak.sel(code=0) == 1).all()
    assert (data.status.sel(code=4) == tk.Status.FAILED).all()
    failures = sweep.failures()
    assert failures.exit_code.tolist() == [4] * 12
    assert set(failures.log) == {f"no solution at flow {flow:g}\n" for flow in data.flow.values}
    measured = data.peak_memory.sel(code=0).dropna("flow").values
    assert len(measured)
    assert (measured > 200e6).all()


def test_what_changes_in_the_middle_is_not_recorded_under_the_old_code(client, simulator, tmp_path):
    program = tmp_path / "sim"
    program.write_bytes(Path(simulator).read_bytes())
    program.chmod(0o755)
    sim = tk.command([program, "--flow", "{flow}", "--sleep", "0.1"])
    job = tk.Sweep(sim, {"flow": [x / 100 for x in range(40)]}).start(client, order="given")
    until(lambda: job.progress.done >= 3)
    other = tmp_path / "other"
    other.write_bytes(program.read_bytes() + b"\0")
    other.chmod(0o755)
    other.rename(program)
    job.result(120)
    assert 3 <= job.progress.done < 40
    assert job.failures().message.str.contains("has changed since").all()


def test_a_cancelled_sweep_ends_its_programs(client, simulator, tmp_path):
    job = tk.Sweep(sleeper(simulator, tmp_path), {"flow": [0.1, 0.2]}).start(client)
    pids = until(lambda: pids_in(tmp_path, 2))
    assert len(pids) == 6
    job.cancel(now=True)
    until(lambda: not any(map(is_there, pids)))


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_sweep_cancelled_in_this_process_ends_its_program_and_goes_on_later(
    simulator, tmp_path, on_disk
):
    def sweep(seconds):
        stage = sleeper(simulator, tmp_path, seconds, version=1)
        return tk.Sweep(stage, {"flow": [0.1, 0.2, 0.3]}, store=store)

    store = tmp_path / "s.zarr" if on_disk else None
    first = sweep(600)
    job = first.start(order="given")
    pids = until(lambda: pids_in(tmp_path))
    assert len(pids) == 3
    job.cancel(now=True)
    assert not any(map(is_there, pids))
    assert len(list(tmp_path.glob("pids-*"))) == 1  # no other was started
    with pytest.raises(tk.InterruptedSweepError, match="3 runs to go"):
        job.result()
    assert (first.dataset().status == tk.Status.PENDING).all()
    assert first.failures().empty
    data = sweep(0).run(progress=False)
    assert (data.status == tk.Status.DONE).all()


def test_workers_that_cannot_be_restarted_end_their_programs(simulator, tmp_path):
    stage = sleeper(simulator, tmp_path, version=1)
    options = {"processes": False, "n_workers": 2, "threads_per_worker": 1}
    with Client(**options, dashboard_address=":0") as client:
        sweep = tk.Sweep(stage, {"flow": [0.1, 0.2, 0.3]}, store=tmp_path / "s.zarr")
        job = sweep.start(client)
        pids = until(lambda: pids_in(tmp_path, 2))
        job.cancel(now=True)
        until(lambda: not any(map(is_there, pids)))
        with pytest.raises(tk.InterruptedSweepError, match="3 runs to go"):
            job.result()
    assert (sweep.dataset().status == tk.Status.PENDING).all()


@pytest.mark.faults
def test_a_killed_worker_takes_its_program_along(client, simulator, tmp_path):
    job = tk.Sweep(sleeper(simulator, tmp_path), {"flow": [0.1]}).start(client)
    pids = until(lambda: pids_in(tmp_path))
    [worker] = [pid for pid, busy in busy_workers(client) if busy]
    os.kill(worker, signal.SIGKILL)
    until(lambda: not any(map(is_there, pids)))
    job.cancel(now=True)


def busy_workers(client):
    pids = client.run(os.getpid)
    busy = client.processing()
    return [(pids[address], bool(busy.get(address))) for address in pids]


SCRIPT = """
import sys
import toolkit as tk
program, pids = sys.argv[1:]
sim = tk.command([program, "--flow", "{flow}", "--pids", pids, "--sleep", "600"], version=1)
tk.Sweep(sim, {"flow": [0.1]}).run(progress=False)
"""


@pytest.mark.faults
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_script_takes_its_program_along(simulator, tmp_path, number):
    command = [sys.executable, "-c", SCRIPT, simulator, tmp_path / "pids-1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as script:
        pids = until(lambda: pids_in(tmp_path))
        while script.poll() is None:  # the second Ctrl-C ends the runs in progress
            script.send_signal(number)
            time.sleep(0.5)
    until(lambda: not any(map(is_there, pids)))


INTERRUPTED = """
import sys
from pathlib import Path
import psutil
import toolkit as tk
program, folder = sys.argv[1:]
sim = tk.command(
    [program, "--flow", "{flow}", "--pids", folder + "/pids-{flow}", "--sleep", "{nap}"],
    name="sim",
)
sweep = tk.Sweep(sim, {"flow": [0.1, 0.2], "nap": 600}, store=folder + "/s.zarr")
try:
    sweep.run(progress=False)
except KeyboardInterrupt:
    left = psutil.Process().children(recursive=True)
    print(len(left), len(list(Path(folder).glob("pids-*"))), flush=True)
    statuses = tk.status(folder + "/s.zarr")
    print(statuses.failed.sum(), statuses.done.sum(), flush=True)
    data = tk.Sweep(sim, {"flow": [0.1, 0.2], "nap": 0}).run(progress=False)
    print((data.status == tk.Status.DONE).sum().item(), flush=True)
"""


@pytest.mark.faults
def test_ctrl_c_twice_ends_the_program_of_a_script_that_goes_on(simulator, tmp_path):
    command = [sys.executable, "-c", INTERRUPTED, simulator, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as script:
        pids = until(lambda: pids_in(tmp_path))
        script.send_signal(signal.SIGINT)
        assert b"Ctrl-C again ends them now" in script.stderr.readline() + script.stderr.readline()
        assert all(map(is_there, pids))
        script.send_signal(signal.SIGINT)
        out, err = script.communicate(timeout=120)
    assert script.returncode == 0, err
    assert out.split() == [b"0", b"1", b"0", b"0", b"2"]
    assert not any(map(is_there, pids))


@pytest.mark.faults
def test_a_killed_launcher_takes_its_program_along_and_fails_the_run(simulator, tmp_path):
    from toolkit.stages.command_process import launchers

    job = tk.Sweep(sleeper(simulator, tmp_path), {"flow": [0.1]}).start()
    program, *_ = until(lambda: pids_in(tmp_path))
    launcher = psutil.Process(program).ppid()
    assert launcher in launchers()
    os.kill(launcher, signal.SIGKILL)
    with pytest.raises(tk.RunsFailedError, match="its launcher was killed"):
        job.result(60)
    until(lambda: not is_there(program))
    for pid in pids_in(tmp_path)[1:]:  # nobody is left who knows them
        os.kill(pid, signal.SIGKILL)


def test_programs_are_ended_when_asked(simulator, tmp_path):
    from toolkit.stages.command_process import end_programs

    job = tk.Sweep(sleeper(simulator, tmp_path), {"flow": [0.1]}).start()
    pids = until(lambda: pids_in(tmp_path))
    assert end_programs() == 1
    with pytest.raises(tk.RunsFailedError, match="was ended from outside"):
        job.result(60)
    assert not any(map(is_there, pids))


class TooLong(BaseException):
    """What a timer raises in a run."""


def test_an_exception_from_outside_ends_the_program(simulator, tmp_path):
    def tick(number, frame):
        if pids_in(tmp_path):  # it has begun
            raise TooLong

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
    try:
        with pytest.raises(TooLong) as caught:
            sleeper(simulator, tmp_path)(flow=0.1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert "Its files are kept in" in caught.value.__notes__[0]
    assert not any(map(is_there, pids_in(tmp_path)))
