from concurrent.futures import ThreadPoolExecutor

import numpy as np

from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.seeds import Streams
from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.current import RunContext, current_run
from toolkit.stages.stage import stage


def run(function, n=3, **options):
    call = bind(stage(function), {"x": "axis"}).call
    return run_batch(call, {"x": list(range(n))}, range(100, 100 + n), **options)


def test_outside_of_a_run_there_is_a_stand_in():
    here = current_run()
    assert (here.id, here.labels, here.seed, here.attempt, here.threads) == (-1, {}, 0, 1, 1)
    assert here.scratch.is_dir()
    assert here.scratch == current_run().scratch


def test_a_run_knows_its_place():
    dim = Dim(name="x", size=3, columns=(Column(name="x", labels=np.arange(3)),), kind="axis")

    def f(x):
        here = current_run()
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: current_run().id).result() == here.id
        if x == 1:
            raise ValueError(str(here.labels))
        return {"id": here.id, "seed": here.seed, "label": here.labels["x"], "try": here.attempt}

    streams, positions = Streams(1, "f", (dim,)), (np.arange(3),)
    result = run(f, streams=streams, positions=positions, attempt=2)
    seeds = streams.run_seeds(positions)
    assert [c[2] for c in result.columns] == [102, seeds[2], 2, 2]
    assert result.errors[0].message == "{'x': 1}"
    assert current_run().id == -1


def test_scratch_is_kept_on_failure_and_removed_on_success(tmp_path):
    def f(x):
        folder = current_run().scratch
        (folder / "log").write_text(str(x))
        if x == 1:
            raise ValueError("kept")
        return 1.0

    run(f, context=RunContext(stage="f", scratch_folder=str(tmp_path)))
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("f-101-")
    assert (left / "log").read_text() == "1"


def test_a_checkpoint_outlives_its_attempt(tmp_path):
    def f(x):
        folder = current_run().checkpoint
        note = folder / "state"
        if not note.exists():
            note.write_text("half")
            raise ValueError("come back")
        return note.read_text()

    context = RunContext(stage="f", checkpoint_folder=str(tmp_path))
    assert run(f, 1, context=context).status.tolist() == [2]
    assert run(f, 1, context=context, attempt=2).columns[0].tolist() == ["half"]
    assert list(tmp_path.iterdir()) == []
