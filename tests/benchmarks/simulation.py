"""What a step of an epidemic costs: our runner, all edges in torch, and a sparse matrix product.

Run as ``python tests/benchmarks/simulation.py``. One thread. All contenders simulate the same
model on the same network in turns; the ratio is of their best CPU times. The others draw from
torch's generator, so their epidemics are others of the same kind: infections stand beside the
times. Then many runs in one call against one by one, what the runner adds to a loop by hand, what
recording takes, and the memory of large populations. What we ask of each stands beside it.

Two naive steps: ``rows_as_floats`` gathers a row of floats for both ends of each contact, as
published torch runners do; ``all_edges`` gathers stages alone, and is two to five times as fast.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from toolkit.simulation import SEIR, ContactNetwork, Record, Runner
from toolkit.simulation.step_draws import StepDraws

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


def rows_as_floats(network: ContactNetwork, beta: float, steps: int, first: int, seed: int) -> int:
    """Gather a row of floats for both ends of every contact, as published torch runners do."""
    offsets, columns = network.rows()
    source = torch.from_numpy(np.repeat(np.arange(network.n_agents), np.diff(offsets)))
    target = torch.from_numpy(columns.astype(np.int64))
    state, total = Plain(network, beta, first, seed), 0
    factor = torch.ones(state.n)
    for t in range(steps):
        state.move(t)
        agents = torch.stack([state.stage, state.until, factor, factor], 1)
        theirs, own = agents[source], agents[target]
        rate = beta * (theirs[:, 0] == 2).float() * theirs[:, 2] * own[:, 3]
        escapes = torch.zeros(state.n).index_add_(0, target, torch.log1p(-rate))
        p = -torch.expm1(escapes)
        new = (torch.rand(state.n) < p) & (state.stage == 0)
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
    """Run the toolkit's; the model is made anew, as the others make theirs."""
    found = Runner(seir(network, beta, first), device="cpu").run(steps, seed=seed)
    return int(found["new_infections"].sum())


def seir(network: ContactNetwork, beta: float, first: int) -> SEIR:
    """Return the toolkit's model."""
    return SEIR(
        network,
        beta=beta,
        incubation_steps=INCUBATION,
        infectious_steps=INFECTIOUS,
        initial_infected=first,
    )


def best(function: Callable[[], object], rounds: int) -> float:
    """Return the least CPU seconds of a call."""
    return min(cpu(function) for _ in range(rounds))


def wall(function: Callable[[], object]) -> float:
    """Return the seconds of a call by the clock on the wall."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def cpu(function: Callable[[], object]) -> float:
    """Return the CPU seconds of a call."""
    began = time.process_time()
    function()
    return time.process_time() - began


def compare(
    n: int, beta: float, steps: int, first: int, *, rounds: int, asked: dict[str, float]
) -> None:
    """Print milliseconds a step and infections of each, in turns."""
    network = network_of(n)
    ours(network, beta, 2, first, 0)
    rows: dict[str, list[float]] = {}
    infected: dict[str, int] = {}
    for turn in range(rounds):
        for contender in (all_edges, rows_as_floats, matrix, ours):
            if contender in (all_edges, rows_as_floats) and n > 100_000 and turn > 1:
                continue
            began = time.process_time()
            infected[contender.__name__] = contender(network, beta, steps, first, turn)
            rows.setdefault(contender.__name__, []).append(time.process_time() - began)
    mine = min(rows["ours"])
    print(f"\n{n:,} agents, {network.n_edges:,} contacts, beta={beta}, {steps} steps")
    for name, times in rows.items():
        wanted = f" (asked: {asked[name]:g})" if name in asked else ""
        print(
            f"  {name:<15} {min(times) / steps * 1e3:9.3f} ms a step  "
            f"{min(times) / mine:8.1f} x ours{wanted}  attack rate {infected[name] / n:.1%}"
        )


def batches(n: int, runs: int, beta: float, steps: int, first: int, *, asked: float) -> None:
    """Print many runs in one call against one by one, by one thread and by one for each core."""
    runner = Runner(seir(network_of(n), beta, first), device="cpu")
    some = min(runs, 16)

    def singly() -> None:
        for seed in range(some):
            runner.run(steps, seed=seed)

    runner.run(steps)
    alone = best(singly, 7) / some
    together = best(lambda: runner.run_batch(steps, seeds=range(runs)), 5) / runs
    print(
        f"{n:,} agents, {runs} runs of {steps} steps: {alone * 1e3:.2f} ms a run alone, "
        f"{together * 1e3:.2f} together: {alone / together:.1f} x by CPU time"
    )
    cores, before = len(os.sched_getaffinity(0)), torch.get_num_threads()
    torch.set_num_threads(cores)
    walls = [
        (wall(singly) / some, wall(lambda: runner.run_batch(steps, seeds=range(runs))) / runs)
        for _ in range(9)
    ]
    torch.set_num_threads(before)
    alone, together = (min(each) for each in zip(*walls, strict=True))
    print(
        f"    by {cores} threads: {alone * 1e3:.2f} and {together * 1e3:.2f} ms of wall time: "
        f"{alone / together:.1f} x (asked: {asked:g})"
    )


def overheads(n: int, beta: float, steps: int, first: int) -> None:
    """Print what the runner adds to loops by hand, and what recording takes."""
    model = seir(network_of(n), beta, first)
    runner = Runner(model, device="cpu")
    dense = Runner(model, device="cpu", mode="dense")
    names = ("new_infections", "susceptible", "exposed", "infectious", "recovered")

    def by_hand() -> None:
        rng = StepDraws(torch.tensor([0]))
        state = model.initial_state(rng)
        for t in range(20):
            state = model.step(state, t, rng.at(t))
            model.observe(state, t)

    def loop() -> None:
        rng = StepDraws(torch.tensor([0]))
        state = model.initial_state(rng)
        model.stepper(state, 0, "auto").play(0, steps, rng)

    def lone() -> None:
        runner.run(steps, record=Record("recovered", every=steps))

    with torch.no_grad():
        hand, through = paired(by_hand, lambda: dense.run(20), 9)
        bare, whole = paired(loop, lambda: runner.run(steps), 25)
    fewer, all_five = paired(lone, lambda: runner.run(steps, record=names), 25)
    print(f"{n:,} agents:")
    print(
        f"  steps of all agents by hand {hand / 20 * 1e3:.2f} ms, by the runner "
        f"{through / 20 * 1e3:.2f}: {through / hand - 1:+.1%} (asked: at most +10 %)"
    )
    print(
        f"  {steps} steps in compiled loops by hand {bare * 1e3:.2f} ms, by the runner with labels "
        f"{whole * 1e3:.2f}: {(whole - bare) / steps * 1e6:.0f} us a step more (asked: at most 50)"
    )
    print(
        f"  five scalars recorded in each step {all_five * 1e3:.2f} ms, one at the first alone "
        f"{fewer * 1e3:.2f}: {all_five / fewer - 1:+.1%} (asked: at most +5 %)"
    )


def paired(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """Return the least CPU seconds of two calls, made in turns."""
    one(), other()
    pairs = [(cpu(one), cpu(other)) for _ in range(rounds)]
    return min(each for each, _ in pairs), min(each for _, each in pairs)


def memory(n: int, beta: float, steps: int, *, asked: int) -> None:
    """Print what a large population takes above all imports, in a process of its own."""
    sys.stdout.flush()
    if not (child := os.fork()):
        _measure_memory(n, beta, steps, asked)
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)


def _measure_memory(n: int, beta: float, steps: int, asked: int) -> None:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is that from here on
    before = _peak()
    network = network_of(n)
    began = time.process_time()
    found = Runner(seir(network, beta, 100), device="cpu").run(steps)
    seconds = time.process_time() - began
    print(
        f"{n:,} agents, {network.n_edges:,} contacts, {steps} steps: {seconds:.1f} s CPU, peak "
        f"{(_peak() - before) / 1e6:,.0f} MB above the imports (asked: at most {asked:,}), attack "
        f"rate {int(found['new_infections'].sum()) / n:.1%}"
    )


def _peak() -> int:
    """Return the most bytes that this process has held."""
    status = Path("/proc/self/status").read_text().splitlines()
    [line] = [each for each in status if each.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def state_bytes(n: int, runs: int) -> None:
    """Print what is held for each agent and run between steps."""
    state = seir(network_of(n), 0.02, 10).initial_state(StepDraws(torch.arange(runs)))
    held = sum(getattr(state, each.name).nbytes for each in fields(state))
    print(f"state: {held / n / runs:.2f} bytes for each agent and run (asked: at most 4)")


def main() -> int:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", action="store_true", help="three million agents too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "Sparse", UserWarning)
    ours(network_of(100), 0.02, 2, 5, 0)  # what is imported and compiled by the first run
    if options.large:
        memory(3_000_000, 0.03, 100, asked=2_000)
    memory(375_000, 0.03, 60, asked=150)
    state_bytes(37_500, 8)
    asked = {"all_edges": 60.0, "matrix": 5.0}
    compare(37_500, 0.0187, 60, 20, rounds=options.rounds, asked=asked)
    compare(37_500, 0.06, 60, 20, rounds=options.rounds, asked={"matrix": 1.0})
    compare(375_000, 0.022, 30, 200, rounds=options.rounds, asked={"rows_as_floats": 500.0})
    print()
    batches(2_000, 128, 0.02, 60, 10, asked=10)
    batches(37_500, 32, 0.0187, 60, 20, asked=4)
    overheads(37_500, 0.0187, 60, 20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
