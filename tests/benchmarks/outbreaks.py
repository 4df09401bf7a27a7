"""Epidemics beside those of Covasim and Starsim, and what ours cost as they grow.

Run as ``python tests/benchmarks/outbreaks.py``. One thread. The others run in an environment of
their own, in a process that is asked in turns with ours: agents, contacts, days and the number of
the first infected are the same, and our ``beta`` is sought so that as many are infected in the end
as theirs are, on average over the seeds. Runs are timed from a model that is ready to the results.
Then what a step of ours costs by the share of agents that is infected, and by the number of agents.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from simulation import network_of

from toolkit.simulation import SEIR, SIR, ContactNetwork, Runner

PACKAGES = ("covasim==4.0.1", "starsim==3.7.2")
AGENTS, CONTACTS, DAYS, FIRST = 37_500, 12, 60, 20
DAYS_EXPOSED, DAYS_INFECTIOUS = 5, 8  # about those of Covasim; our model for it is SEIR
# Name there: the beta given to it, how many times our agent-steps a second we ask for.
PEERS: dict[str, tuple[float, int | None]] = {
    "covasim": (0.02, 40),
    "starsim": (0.0222, 8),
    "starsim-daily": (0.0210, None),
}
CLOSE = 0.2  # how far infections may be apart, as a share of theirs
SIZES = (2_000, 10_000, 37_500, 375_000, 3_000_000)
SHARES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.95)
BYTES_AN_AGENT = 600  # at the most, while a network of twelve contacts each is made
THERE = Path(__file__).with_name("outbreaks_there.py")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class Peer:
    """A process in the other environment that runs simulations when it is asked."""

    def __init__(self, python: Path, name: str, script: Path = THERE) -> None:
        numbers = [str(each) for each in (AGENTS, CONTACTS, DAYS, FIRST)]
        self._process = subprocess.Popen(
            [python, script, name, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **dict.fromkeys(THREADS, "1")},
        )
        self.versions: dict[str, str] = self._answer()

    def run(self, beta: float, seed: int) -> dict[str, float]:
        """Return seconds, CPU seconds, infections and pairs of a run."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{beta} {seed}\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Have the process end."""
        self._process.communicate(timeout=60)

    def _answer(self) -> dict[str, Any]:
        """Return the next line of JSON; packages print of their own."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        self.end()
        raise RuntimeError(f"the process ended with {self._process.returncode} and no answer")


def environment() -> Path | None:
    """Return the Python of an environment with both packages, made once in the cache folder."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    python = cache / "toolkit-benchmarks" / "outbreaks" / "bin" / "python"
    if not python.exists():
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        made = [uv, "venv", "-q", "--clear", "--python", "3.11", str(python.parent.parent)]
        filled = [uv, "pip", "install", "-q", "--python", str(python), *PACKAGES]
        try:
            for command in (made, filled):
                subprocess.run(command, check=True, timeout=900)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"no environment for {' and '.join(PACKAGES)}: {error}")
            shutil.rmtree(python.parent.parent, ignore_errors=True)
            return None
    return python


def runner_like(name: str, network: ContactNetwork) -> Runner:
    """Return ours with the stages that a peer's disease has, as far as these infect."""
    if name != "covasim":
        return Runner(
            SIR(network, beta=0.01, infectious_steps=7, initial_infected=FIRST), device="cpu"
        )
    model = SEIR(
        network,
        beta=0.01,
        incubation_steps=DAYS_EXPOSED,
        infectious_steps=DAYS_INFECTIOUS,
        initial_infected=FIRST,
    )
    return Runner(model, device="cpu")


def infections(runner: Runner, beta: float, seeds: Sequence[int], steps: int = DAYS) -> float:
    """Return how many are infected in the end, the first ones too, on average over the seeds."""
    runs = runner.run_batch(steps, {"beta": beta}, list(seeds))
    return float(runs["new_infections"].sum()) / len(seeds) + FIRST


def beta_for(wanted: float, run: Callable[[float], float], low: float, high: float) -> float:
    """Return the beta at which a rising number of infections is what is wanted, by halving."""
    for _ in range(14):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if run(middle) < wanted else (low, middle)
    return (low * high) ** 0.5


def beside(name: str, python: Path, network: ContactNetwork, rounds: int) -> bool:
    """Print a peer and ours in turns; whether what is asked is reached."""
    beta, asked = PEERS[name]
    peer = Peer(python, name)
    seeds = list(range(1, rounds + 1))
    peer.run(beta, 0)  # compiles
    runner = runner_like(name, network)
    theirs, ours = [peer.run(beta, seed) for seed in seeds], []
    wanted = float(np.mean([row["infections"] for row in theirs]))
    same = beta_for(wanted, lambda value: infections(runner, value, range(16)), 1e-3, 0.2)
    for turn, seed in enumerate(seeds):
        if turn:
            theirs.append(peer.run(beta, seed))
        for each in range(5):  # ours are short
            began, cpu = time.perf_counter(), time.process_time()
            run = runner.run(DAYS, {"beta": same}, seed=100 * seed + each)
            row = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu}
            ours.append({**row, "infections": int(run["new_infections"].sum()) + FIRST})
    peer.end()
    told = ", ".join(f"{package} {number}" for package, number in peer.versions.items())
    print(f"\n{told}; {2 * theirs[0]['pairs']:,.0f} contacts, ours {network.n_edges:,}")
    print(f"{'':14}{'beta':>8}{'ms a run':>10}{'CPU ms':>9}{'M agent-steps/s':>17}{'infected':>10}")
    for each, value, rows in ((name, beta, theirs), ("toolkit", same, ours)):
        seconds, cpu = (min(row[key] for row in rows) for key in ("seconds", "cpu"))
        infected = np.mean([row["infections"] for row in rows])
        print(
            f"{each:14}{value:8.4f}{seconds * 1e3:10.1f}{cpu * 1e3:9.1f}"
            f"{AGENTS * DAYS / seconds / 1e6:17.2f}{infected / AGENTS:10.1%}"
        )
    ratio, by_cpu = (
        min(row[key] for row in theirs) / min(row[key] for row in ours)
        for key in ("seconds", "cpu")
    )
    apart = np.mean([row["infections"] for row in ours]) / wanted - 1
    target = "" if asked is None else f" (target {asked})"
    print(
        f"{name} / toolkit: {ratio:.0f} times{target}, by CPU {by_cpu:.0f}; infections {apart:+.0%}"
    )
    return abs(apart) <= CLOSE and (asked is None or ratio >= asked)


def by_prevalence(network: ContactNetwork, rounds: int) -> None:
    """Print what ours costs by the share that is infected in the end."""
    model = SEIR(network, beta=0.01, incubation_steps=3, infectious_steps=7, initial_infected=FIRST)
    runner = Runner(model, device="cpu")
    print(f"\n{network.n_agents:,} agents, {network.n_edges:,} contacts, {DAYS} steps")
    print(
        f"{'infected':>9}{'most at once':>14}{'us a step':>11}{'M agent-steps/s':>17}{'':>8}pulled"
    )
    for share in SHARES:
        wanted = share * network.n_agents
        beta = beta_for(wanted, lambda value: infections(runner, value, range(8)), 1e-3, 0.5)
        best = np.inf
        for _ in range(rounds):
            began = time.perf_counter()
            run = runner.run(DAYS, {"beta": beta}, seed=1)
            best = min(best, time.perf_counter() - began)
        infected = int(run["new_infections"].sum()) / network.n_agents
        print(
            f"{infected:9.1%}{int(run['infectious'].max()) / network.n_agents:14.1%}"
            f"{best / DAYS * 1e6:11.0f}{network.n_agents * DAYS / best / 1e6:17.1f}"
            f"{runner.stats().pulled:11} steps",
            flush=True,
        )


def by_size(n: int, rounds: int) -> None:
    """Print what ours costs with so many agents, in a process of its own."""
    if psutil.virtual_memory().available < n * BYTES_AN_AGENT:
        print(f"{n:>10,}  left out: needs about {n * BYTES_AN_AGENT / 1e9:.1f} GB of memory")
        return
    sys.stdout.flush()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    status = 1
    try:
        before = psutil.Process().memory_info().rss
        began = time.perf_counter()
        network = network_of(n)
        model = SEIR(network, beta=0.0225, initial_infected=max(1, n // 1000))
        runner = Runner(model, device="cpu")
        built = time.perf_counter() - began
        best = np.inf
        for _ in range(rounds if n < 1_000_000 else 1):
            began = time.perf_counter()
            run = runner.run(DAYS, seed=1)
            best = min(best, time.perf_counter() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
        print(
            f"{n:>10,}{network.n_edges:>13,}{built:9.2f}{best / DAYS * 1e3:11.3f}"
            f"{best / DAYS / n * 1e9:20.2f}{int(run['new_infections'].sum()) / n:10.1%}"
            f"{peak / 1e6:10,.0f}",
            flush=True,
        )
        status = 0
    finally:
        os._exit(status)


def main() -> int:
    """Print all; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="the fastest counts")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--most", type=int, default=max(SIZES), help="agents")
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = network_of(AGENTS, CONTACTS)
    runner_like("starsim", network).run(2)  # compiles
    is_reached = True
    python = environment() if options.peers else None
    if python is not None:
        print(f"{AGENTS:,} agents, {DAYS} days, {FIRST} infected at first, one thread each")
        for name in options.peers:
            is_reached &= beside(name, python, network, options.rounds)
    by_prevalence(network, options.rounds)
    print(f"\n{'agents':>10}{'contacts':>13}{'build s':>9}{'ms a step':>11}", end="")
    print(f"{'ns an agent-step':>20}{'infected':>10}{'peak MB':>10}")
    for n in SIZES:
        if n <= options.most:
            by_size(n, options.rounds)
    return int(not is_reached)


if __name__ == "__main__":
    sys.exit(main())
