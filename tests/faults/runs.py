"""Functions that misbehave: they fail, alone, and are told as such."""

from registry import fault
from rounds import Round

import toolkit as tk

ENDS = {"segfault": -11, "exit": 3}
"""How a worker ends: its exit code."""

SMALL = 400 << 20  # bytes: what a worker may take where runs eat memory


def misbehave(round_: Round, what: str, *, fails: bool = True, memory: int = 0) -> None:
    """Have a few runs of a sweep on workers do something, and see what is told of them."""
    count = 1 + int(round_.rng.integers(3))
    bad = sorted(round_.rng.choice(round_.n_runs, count, replace=False).tolist())
    cluster = round_.lab.cluster(memory=memory)
    workers = set(cluster.workers().values())
    with round_.read_all_the_while():
        driver = round_.driver(cluster, bad={"what": what, "ids": bad})
        driver.finish()
    round_.must_end_well(driver)
    if what == "leak":
        round_.verdict.has_hit = workers != set(cluster.workers().values())
    if not fails:
        return
    round_.ledgers[0].failed = set(bad)
    table = tk.failures(round_.store)
    told = sorted(int(run) for run in table.run)
    if told != bad:
        round_.complain(f"failures() names the runs {told}, and {bad} misbehaved")
    if what in ENDS:
        codes, attempts = table.exit_code.tolist(), table.attempts.tolist()
        if set(codes) != {ENDS[what]} or set(attempts) != {2}:
            round_.complain(f"failures() says exit codes {codes} after {attempts} attempts")


@fault("run", kinds=("slow",))
def run_that_segfaults(round_: Round) -> None:
    misbehave(round_, "segfault")


@fault("run", kinds=("slow",))
def run_that_calls_os_exit(round_: Round) -> None:
    misbehave(round_, "exit")


@fault("run", kinds=("slow",))
def run_that_returns_garbage(round_: Round) -> None:
    misbehave(round_, str(round_.rng.choice(["none", "text", "shape", "names", "object"])))


@fault("run", kinds=("slow",))
def run_that_raises_a_base_exception(round_: Round) -> None:
    misbehave(round_, str(round_.rng.choice(["base", "interrupt", "leave"])))


@fault("run", kinds=("slow",))
def run_that_raises_what_cannot_be_pickled(round_: Round) -> None:
    misbehave(round_, str(round_.rng.choice(["unpicklable", "unprintable"])))


@fault("run", kinds=("slow",))
def run_that_prints_megabytes(round_: Round) -> None:
    misbehave(round_, "print", fails=False)


@fault("run", kinds=("slow",))
def run_that_eats_memory(round_: Round) -> None:
    misbehave(round_, "eat", memory=SMALL)


@fault("run", kinds=("slow",), needs="toolkit.execution.renewal")
def runs_that_leak(round_: Round) -> None:
    misbehave(round_, "leak", fails=False, memory=SMALL)


@fault("run", kinds=("slow",), needs="toolkit.stages.walltime")
def run_that_hangs(round_: Round) -> None:
    misbehave(round_, "hang")
