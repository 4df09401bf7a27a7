# ruff: noqa: T201 - runs that print are what this is about
"""What runs say, in worker processes."""

import logging
import sys
import threading
import time
import warnings

import pytest
from distributed import Client, LocalCluster

import toolkit as tk


def talk(x):
    print("out", x)
    print("err", x, file=sys.stderr)
    logging.getLogger("model").warning("log %s", x)
    if x % 10 == 7:
        raise ValueError("seven")
    return x


def talk_slowly(x):
    time.sleep(0.002)
    return talk(x)


def said(x):
    return f"out {x}\nerr {x}\nWARNING model: log {x}\n"


@pytest.mark.parametrize("function", [talk, talk_slowly])
@pytest.mark.parametrize("on_disk", [True, False])
def test_every_run_is_read_by_its_label(client, tmp_path, function, on_disk):
    store = tmp_path / "s.zarr" if on_disk else None
    sweep = tk.Sweep(function, {"x": range(300)}, store=store)
    sweep.run(client, progress=False)
    wrong = [x for x in range(0, 300, 11) if sweep.log_of(x=x) != said(x)]
    assert wrong == []
    failures = sweep.failures()
    assert failures.log.tolist() == [said(x) for x in failures.x]
    assert len(failures) == 30


def mostly_silent(x):
    if x % 10_000 == 77:
        print("I am", x)
        warnings.warn(f"warned {x}", UserWarning, stacklevel=1)
    return x * 0.5


def test_among_many_fast_runs_those_that_speak_are_heard(client, tmp_path):
    sweep = tk.Sweep(mostly_silent, {"x": range(100_000)}, store=tmp_path / "s.zarr")
    data = sweep.run(client, progress=False)
    assert (data.status == tk.Status.DONE).all()
    for x in range(77, 100_000, 30_000):
        text = sweep.log_of(x=x)
        assert text.startswith(f"I am {x}\n")
        assert text.endswith(f"UserWarning: warned {x}\n")
    assert sweep.log_of(x=78) == ""


def with_company(x):
    """Say something while the run in the other thread does."""
    print(threading.current_thread().name, "begins", x)
    time.sleep(0.003)
    print(threading.current_thread().name, "ends", x)
    return threading.get_ident()


def test_threads_of_a_worker_of_ones_own_cluster_do_not_mix(tmp_path):
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as own,
        Client(own) as client,
    ):
        sweep = tk.Sweep(with_company, {"x": range(60)}, store=tmp_path / "s.zarr")
        data = sweep.run(client, progress=False)
        assert len(set(data.with_company.values.tolist())) == 2
    for x in range(0, 60, 3):
        lines = [line.split() for line in sweep.log_of(x=x).splitlines()]
        assert [line[1:] for line in lines] == [["begins", str(x)], ["ends", str(x)]]
        assert lines[0][0] == lines[1][0]


def shout(x):
    print("y" * 30_000, x)
    return x


def test_runs_that_print_megabytes_fill_no_disk(client, tmp_path):
    store = tmp_path / "s.zarr"
    sweep = tk.Sweep(shout, {"x": range(500)}, store=store)
    sweep.run(client, progress=False)
    assert sum(file.stat().st_size for file in store.rglob("*") if file.is_file()) < 6e6
    assert sweep.log_of(x=5).endswith("y 5\n")
