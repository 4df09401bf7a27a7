"""A journal that is damaged while its worker goes on writing."""

import time
from pathlib import Path

import pytest

import toolkit as tk


def test_runs_recorded_behind_damage_are_told_and_run_again(tmp_path):
    store, is_damaged = tmp_path / "s", tmp_path / "damaged"

    def measure(x):
        time.sleep(0.002)  # each run has a record of its own
        if x == 5 and not is_damaged.exists():
            is_damaged.touch()
            for journal in Path(store, ".journal").glob("*.journal"):
                with journal.open("ab") as file:
                    file.write(b"\0" * 100)
        return x

    sweep = tk.Sweep(measure, {"x": range(20)}, store=store)
    with pytest.warns(UserWarning, match=r"cannot be read from byte .* run the sweep again"):
        data = sweep.run(order="given", progress=False)
    done = data.status.values == tk.Status.DONE
    assert done.any()
    assert (data.status.values[~done] == tk.Status.PENDING).all()
    assert (data.measure.values[done] == data.x.values[done]).all()
    assert not done.all()
    again = sweep.run(progress=False)
    assert (again.measure.values == again.x.values).all()
