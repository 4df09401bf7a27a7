"""What a step of an epidemic costs: our runner, all edges in torch, and a sparse matrix product.

Run as ``python tests/benchmarks/simulation.py``. One thread. All contenders simulate the same
model on the same network in turns; the ratio is of their best times. The others draw from torch's
generator, so their epidemics are others of the same kind: infections stand beside the times. Then
many runs in one call against one by one, and the memory of large populations.
"""

import argparse
import os
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from toolkit.simulation import SEIR, ContactNetwork, Runner

INCUBATION, INFECTIOUS = 3, 7


def network_of(n: int, degree: int = 12) -> ContactNetwork:
    """Return a network in which each agent meets so many others, on average."""
    rng = np.random.default_rng(n)
    pairs = rng.integers(n, size=(2, n * degree // 2))
    return ContactNetwork.from_edges(pairs[0], pairs[1], n)


class Plain:
    """The state that the two others share: all agents, floats, one pass for each transition."""

    def __init__(self, network: ContactNetwork, beta: float, first: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.n, self.beta = network.n_agents, beta
        self.stage = torch.zeros(self.n)
        self.until = torch.full((self.n,), -1.0)
        who = torch.randperm(self.n)[:first]
        self.stage[who], self.until[who] = 2.0, float(INFECTIOUS)

    def move(self, t: int) -> None:
        """Make the transitions that are due."""
        due = self.until == t
        ill, well = due & (self.stage == 1), due & (self.stage == 2)
        self.stage = torch.where(ill, 2.0, torch.where(well, 3.0, self.stage))
        self.until = torch.where(ill, float(t + INFECTIOUS), self.until)

    def infect(self, new: torch.Tensor, t: int) -> int:
        """Expose agents."""
        self.stage = torch.where(new, 1.0, self.stage)
        self.until = torch.where(new, float(t + INCUBATION), self.until)
        return int(new.sum())


def all_edges(network: ContactNetwork, beta: float, steps: int, first: int, seed: int) -> int:
    """Draw for every contact in every step."""
    offsets, columns = network.rows()
    source = torch.from_numpy(np.repeat(np.arange(network.n_agents), np.diff(offsets)))
    target = torch.from_numpy(columns.astype(np.int64))
    state, total = Plain(network, beta, first, seed), 0
    for t in range(steps):
        state.move(t)
        rate = beta * (state.stage == 2).float()[source] * (state.stage == 0).float()[target]
        hit = (torch.rand(len(rate)) < rate).float()
        new = torch.zeros(state.n).index_add_(0, target, hit) > 0
        total += state.infect(new, t)
    return total


def matrix(network: ContactNetwork, beta: float, steps: int, first: int, seed: int) -> int:
    """Count infectious contacts of all agents by a product with a sparse matrix."""
    offsets, columns = (torch.from_numpy(each) for each in network.rows())
    size = (network.n_agents, network.n_agents)
    contacts = torch.sparse_csr_tensor(offsets, columns, torch.ones(len(columns)), size)
    state, total = Plain(network, beta, first, seed), 0
    for t in range(steps):
        state.move(t)
        met = contacts @ (state.stage == 2).float()
        p = 1 - (1 - beta) ** met
        new = (torch.rand(state.n) < p) & (state.stage == 0)
        total += state.infect(new, t)
    return total


def ours(network: ContactNetwork, beta: float, steps: int, first: int, seed: int) -> int:
    """Run the toolkit's."""
    model = SEIR(
        network,
        beta=beta,
        incubation_steps=INCUBATION,
        infectious_steps=INFECTIOUS,
        initial_infected=first,
    )
    found = Runner(model, device="cpu").run(steps, seed=seed)
    return int(found["new_infections"].sum())


def best(function: Callable[[], object], rounds: int) -> float:
    """Return the least seconds of a call."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return min(times)


def compare(n: int, beta: float, steps: int, first: int, rounds: int) -> None:
    """Print milliseconds a step and infections of each, in turns."""
    network = network_of(n)
    ours(network, beta, 2, first, 0)
    rows: dict[str, list[float]] = {}
    infected: dict[str, int] = {}
    for turn in range(rounds):
        for contender in (all_edges, matrix, ours):
            if contender is all_edges and n > 100_000 and turn:
                continue
            began = time.perf_counter()
            infected[contender.__name__] = contender(network, beta, steps, first, turn)
            rows.setdefault(contender.__name__, []).append(time.perf_counter() - began)
    mine = min(rows["ours"])
    print(f"\n{n:,} agents, {network.n_edges:,} contacts, beta={beta}, {steps} steps")
    for name, times in rows.items():
        print(
            f"  {name:<10} {min(times) / steps * 1e3:9.3f} ms a step  "
            f"{min(times) / mine:8.1f} x ours  attack rate {infected[name] / n:.1%}"
        )


def batches(n: int, runs: int, beta: float, steps: int, first: int) -> None:
    """Print many runs in one call against one by one."""
    model = SEIR(
        network_of(n),
        beta=beta,
        incubation_steps=INCUBATION,
        infectious_steps=INFECTIOUS,
        initial_infected=first,
    )
    runner = Runner(model, device="cpu")
    some = min(runs, 16)

    def singly() -> None:
        for seed in range(some):
            runner.run(steps, seed=seed)

    alone = min(best(singly, 1) for _ in range(3)) / some
    together = best(lambda: runner.run_batch(steps, seeds=range(runs)), 3) / runs
    print(
        f"{n:,} agents, {runs} runs of {steps} steps: {alone * 1e3:.2f} ms a run alone, "
        f"{together * 1e3:.2f} together: {alone / together:.1f} x"
    )


def memory(n: int, steps: int) -> None:
    """Print what a large population takes, in a process of its own."""
    if os.fork():
        os.wait()
        return
    before = _resident()
    network = network_of(n)
    model = SEIR(network, beta=0.03, initial_infected=100)
    built = time.perf_counter()
    found = Runner(model, device="cpu").run(steps)
    seconds = time.perf_counter() - built
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{n:,} agents, {network.n_edges:,} contacts, {steps} steps: {seconds:.1f} s, peak "
        f"{(peak - before) / 1e6:,.0f} MB above the start, attack rate "
        f"{int(found['new_infections'].sum()) / n:.1%}",
        flush=True,
    )
    os._exit(0)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="three million agents too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Sparse", UserWarning)
    if options.large:
        memory(3_000_000, 100)
    memory(375_000, 60)
    compare(37_500, 0.0187, 60, 20, options.rounds)
    compare(37_500, 0.06, 60, 20, options.rounds)
    compare(375_000, 0.022, 30, 200, options.rounds)
    print()
    batches(2_000, 128, 0.02, 60, 10)
    batches(37_500, 32, 0.0187, 60, 20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
