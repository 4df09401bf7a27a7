"""Batches of torch models beside the same models run one by one; outputs saved while computing.

    python tests/benchmarks/torch_batches.py [--runs 10000] [--saving]

Prints one line for each model. One by one: the same function without vmap, for as many runs as a
few seconds hold, by CPU time of one thread. Batch: all runs in batches of the size that a trial
finds. Ratios are what counts; times are those of this machine and moment.
"""

import argparse
import shutil
import statistics
import tempfile
import time

import numpy as np

import toolkit as tk
from toolkit.spaces.axis import Column, Dim
from toolkit.spaces.seeds import Streams
from toolkit.stages.batch import run_batch
from toolkit.stages.binding import bind
from toolkit.stages.torch_batch import TorchBatch
from toolkit.stages.trial import Trial

ALONE_SECONDS = 5.0


def sir(beta, gamma, n_steps=160):
    """Peak of an SIR epidemic, by 160 steps of Runge and Kutta."""
    import torch

    def slope(s, i):
        new, gone = beta * s * i, gamma * i
        return -new, new - gone

    s, i, dt = 0.999 + 0 * beta, 0.001 + 0 * beta, 0.5
    peak = i
    for _ in range(n_steps):
        s1, i1 = slope(s, i)
        s2, i2 = slope(s + dt / 2 * s1, i + dt / 2 * i1)
        s3, i3 = slope(s + dt / 2 * s2, i + dt / 2 * i2)
        s4, i4 = slope(s + dt * s3, i + dt * i3)
        s = s + dt / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
        i = i + dt / 6 * (i1 + 2 * i2 + 2 * i3 + i4)
        peak = torch.maximum(peak, i)
    return peak


def network(rate, run_seed, n_steps=40):
    """Loss of a network of 8 hidden units after 40 steps of gradient descent, its data drawn."""
    import torch

    draws = tk.draws(run_seed)
    x = draws.uniform("x", (32, 1), low=-1.0)
    y = torch.sin(3 * x) + 0.1 * draws.normal("noise", (32, 1))
    weights = (draws.normal("in", (1, 8)), draws.normal("out", (8, 1), sd=0.3))

    def loss(weights):
        return ((torch.tanh(x @ weights[0]) @ weights[1] - y) ** 2).mean()

    slope = torch.func.grad(loss)
    for _ in range(n_steps):
        found = slope(weights)
        weights = (weights[0] - rate * found[0], weights[1] - rate * found[1])
    return loss(weights)


def compare(function, values):
    """Return seconds of CPU time of a run alone and in batches, and how far values are apart."""
    import torch

    torch.set_num_threads(1)
    n = len(next(iter(values.values())))
    dim = Dim(name="i", size=n, columns=(Column(name="i", labels=np.arange(n)),), kind="axis")
    call = bind(tk.stage(function, vectorized="torch"), dict.fromkeys(values, "axis")).call
    streams, positions = Streams(0, "model", (dim,)), (np.arange(n),)
    one = TorchBatch(call)
    arguments = one.prepare(call.arrays(values, n, streams, positions))
    one.alone(arguments, 0)
    alone, begun = [], time.process_time()
    while len(alone) < n and time.process_time() - begun < ALONE_SECONDS:
        alone.append(float(one.alone(arguments, len(alone))))
    alone_seconds = (time.process_time() - begun) / len(alone)
    trial, results, lo, begun = Trial(), [], 0, time.process_time()
    while lo < n:
        part = slice(lo, min(lo + trial.wanted, n))
        ids = np.arange(n)[part]
        cut = {name: column[part] for name, column in values.items()}
        batch = run_batch(call, cut, ids, streams=streams, positions=(ids,), trial=trial)
        assert not batch.errors, batch.errors[0].traceback
        results.append(batch.columns[0])
        lo = part.stop
    batch_seconds = (time.process_time() - begun) / n
    together = np.concatenate(results)[: len(alone)]
    apart = float(np.max(np.abs(together - alone)) / np.max(np.abs(alone)))
    return alone_seconds, batch_seconds, apart, trial


def models(n):
    """Print the comparison for both models."""
    rng = np.random.default_rng(0)
    for function, values in (
        (sir, {"beta": rng.uniform(0.1, 1, n), "gamma": rng.uniform(0.05, 0.3, n)}),
        (network, {"rate": rng.uniform(0.01, 0.2, n)}),
    ):
        alone, batch, apart, trial = compare(function, values)
        print(
            f"{function.__name__:8} {n:,} runs: alone {alone * 1e3:.2f} ms a run, in batches of up "
            f"to {trial.best:,} {batch * 1e3:.3f} ms: {alone / batch:.0f} x faster; "
            f"values apart by {apart:.0e} of the largest",
            flush=True,
        )


def arrays(x, size):
    """Return 30 arrays."""
    base = np.arange(size, dtype=float) + x
    return {f"a{i:02d}": base * i for i in range(30)}


def compute(seconds):
    """Compute for so much CPU time."""
    a, begun = np.random.default_rng(0).random((120, 120)), time.thread_time()
    while time.thread_time() - begun < seconds:
        a = a @ a
        a /= a.max()


def computing(x, size, work):
    """Compute, and save next to nothing."""
    compute(work)
    arrays(x, size)
    return float(x)


def saving(x, size, work):
    """Save, and compute nothing."""
    return arrays(x, size)


def both(x, size, work):
    """Compute and save."""
    compute(work)
    return arrays(x, size)


def saves(n, size, work):
    """Print the wall time of both beside the larger of each alone, three times in turn."""
    ratios = []
    with tk.cluster("local", workers=1, dashboard=None) as cluster:
        for turn in range(4):
            seconds = {}
            for function in (computing, saving, both):
                folder = tempfile.mkdtemp()
                axes = {"x": range(n), "size": [size], "work": [work]}
                sweep = tk.Sweep(function, axes, store=f"{folder}/store.zarr")
                begun = time.perf_counter()
                sweep.run(cluster, progress=False)
                seconds[function.__name__] = time.perf_counter() - begun
                shutil.rmtree(folder)
            if turn:  # the first one warms up
                larger = max(seconds["computing"], seconds["saving"])
                ratios.append(seconds["both"] / larger)
                print({name: round(value, 2) for name, value in seconds.items()}, flush=True)
    print(f"30 arrays a run: {statistics.median(ratios):.2f} x the larger of computing and saving")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--saving", action="store_true", help="saving beside computing instead")
    parser.add_argument("--size", type=int, default=4096, help="numbers in each of the 30 arrays")
    parser.add_argument("--work", type=float, default=0.03, help="seconds of computing in a run")
    given = parser.parse_args()
    if given.saving:
        saves(100, given.size, given.work)
    else:
        models(given.runs)
