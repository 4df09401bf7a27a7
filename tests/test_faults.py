"""A round of every fault; ``make faults ROUNDS=100`` plays more of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "faults"


def _script(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault" in metafunc.fixturenames:
        names = _script("--list").stdout.splitlines()
        assert names
        metafunc.parametrize("fault", [name.partition(": ")[2] for name in names])


@pytest.fixture(scope="module")
def played(request, tmp_path_factory):
    """Play a round of each fault that was asked for, and return what became of them."""
    state = tmp_path_factory.mktemp("faults") / "state.json"
    wanted = [
        item.callspec.params["fault"]
        for item in request.session.items
        if "fault" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    ended = _script("--state", str(state), "--only", *wanted)
    assert state.exists(), ended.stderr
    return json.loads(state.read_text()), ended


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_wrong(played, fault):
    state, ended = played
    assert fault in state["faults"], ended.stdout + ended.stderr
    found = state["faults"][fault]
    notes = [note for note in state["notes"] if note.startswith(fault)]
    assert found["rounds"] == 1
    assert (found["lost"], found["wrong"], notes) == (0, 0, [])
    assert found["repeated"] <= found["allowed"]
