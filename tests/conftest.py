"""What this machine can run, why the rest was left out, and where the seconds went."""

import importlib.util
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

MARKERS = ("notebook", "slurm", "browser", "faults", "gpu", "long")

# Shared cores make any deadline a matter of luck, and a failure must be the same on the next try.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")


def _has_modules(*names: str) -> bool:
    return all(importlib.util.find_spec(name) is not None for name in names)


@cache
def _has_gpu() -> bool:
    if not _has_modules("torch"):
        return False
    import torch

    return torch.cuda.is_available()


# Marker -> (is it there, what is missing, the command that adds it).
NEEDS: dict[str, tuple[Callable[[], bool], str, str]] = {
    "notebook": (
        lambda: _has_modules("nbclient", "ipykernel"),
        "no Jupyter kernel",
        "make setup",
    ),
    "slurm": (
        lambda: shutil.which("slurmctld") is not None,
        "no SLURM",
        "make test, as root on Debian",
    ),
    "browser": (
        lambda: shutil.which("chromium") is not None and _has_modules("playwright", "jupyterlab"),
        "no Chromium",
        "make test, as root on Debian",
    ),
    "gpu": (
        _has_gpu,
        "no accelerator that torch can use",
        "a machine with one, and make setup TORCH=1",
    ),
}
REMEDIES = {reason: remedy for _, reason, remedy in NEEDS.values()} | {
    "torch": "make setup TORCH=1",
    "no C compiler": "make test, as root on Debian",
    "no hvplot": "make setup",
}


@pytest.fixture(autouse=True)
def no_open_figures() -> Iterator[None]:
    """Close the figures of a test after it: matplotlib warns of more than twenty."""
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the toy simulator, compiled from C."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("programs") / "sim"
    source = Path(__file__).parent / "programs" / "simulator.c"
    subprocess.run([compiler, "-O1", "-o", program, source, "-lm"], check=True)
    return program


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail where a test is skipped, unless it needs a GPU",
    )
    parser.addoption(
        "--pictures",
        action="store_true",
        help="keep in docs/images what the tests see in a browser",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_Account(no_skips=config.getoption("--no-skips")), "account")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, (is_there, reason, _) in NEEDS.items():
            if item.get_closest_marker(marker) is not None and not is_there():
                item.add_marker(pytest.mark.skip(reason=reason))


class _Account:
    """Adds up seconds by marker and skips by reason, and prints both at the end."""

    def __init__(self, *, no_skips: bool) -> None:
        self.no_skips = no_skips
        self.kinds: dict[str, str] = {}
        self.seconds: Counter[str] = Counter()
        self.skips: Counter[str] = Counter()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            marks = {mark.name for mark in item.iter_markers()}
            self.kinds[item.nodeid] = next((name for name in MARKERS if name in marks), "unmarked")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._count_skip(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[self.kinds[report.nodeid]] += report.duration
        if not hasattr(report, "wasxfail"):
            self._count_skip(report)

    def _count_skip(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            self.skips[report.longrepr[2].removeprefix("Skipped: ")] += 1

    @property
    def forbidden_skips(self) -> int:
        return sum(n for reason, n in self.skips.items() if reason != NEEDS["gpu"][1])

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        if self.no_skips and self.forbidden_skips and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return (yield)

    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter, exitstatus: int
    ) -> None:
        write = terminalreporter.write_line
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
            write("No test was run: nothing matches what was asked for.", red=True)
        if self.seconds:
            kinds = [kind for kind in ("unmarked", *MARKERS) if kind in self.seconds]
            write("seconds: " + ", ".join(f"{kind} {self.seconds[kind]:.0f}" for kind in kinds))
        for reason, count in self.skips.items():
            remedy = next((text for key, text in REMEDIES.items() if key in reason), None)
            write(f"skipped {count}: {reason}" + (f". To add: {remedy}" if remedy else ""))
        if self.no_skips and self.forbidden_skips:
            write("Nothing but tests that need a GPU may be skipped here.", red=True)


@pytest.fixture(autouse=True)
def _caplog_hears_all(caplog: pytest.LogCaptureFixture) -> None:
    """Undo what a cluster of the whole session does to the handlers of the test's own process.

    Dask silences each handler that it finds, pytest's too, for as long as the cluster is open.
    """
    caplog.handler.setLevel(0)
