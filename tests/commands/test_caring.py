import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Toolkit = Callable[..., Result]


@pytest.fixture
def store(toolkit: Toolkit) -> Path:
    """A store of 12 runs of which one failed."""
    toolkit("run study.py", code=1)
    return Path("sir.zarr")


def test_check_of_a_sound_store_ends_with_0(toolkit: Toolkit, store: Path) -> None:
    assert "chunks read, sound" in toolkit("check sir.zarr").stdout
    found = json.loads(toolkit("check sir.zarr --json").stdout)
    assert (found["schema"], found["version"]) == ("toolkit.check", 1)
    assert found["is_sound"] is True
    assert found["findings"] == found["damaged_runs"] == []


def test_check_names_damage_and_retry_mends_it(toolkit: Toolkit, store: Path) -> None:
    (store / "rate" / "c.0").write_bytes(b"broken")
    text = toolkit("check sir.zarr", code=1).stdout
    assert "rate/c.0 cannot be decoded" in text
    assert "beta" in text
    assert "toolkit retry --damaged study.py" in text
    found = json.loads(toolkit("check sir.zarr --json", code=1).stdout)
    assert [each["place"] for each in found["findings"]] == ["rate/c.0"]
    assert len(found["damaged_runs"]) == 11
    assert found["damaged_runs"][0].keys() >= {"beta", "gamma", "stage", "run"}
    refused = toolkit("retry sir.zarr --damaged", code=2).stderr
    assert "Next: toolkit retry --damaged" in refused
    done = toolkit("retry study.py --damaged", code=1)  # one run has failed, and still has
    assert "11 of 12 runs done, 1 failed, 11 executed now" in done.stdout
    assert "11 runs with damaged values" in done.stderr
    toolkit("check sir.zarr")


def test_compact_says_what_it_gained(toolkit: Toolkit, store: Path) -> None:
    left = store / "orphan"
    left.mkdir()
    (left / "c.0").write_bytes(b"x" * 10_000)
    assert "bytes in" in toolkit("compact sir.zarr").stdout
    assert not left.exists()
    found = json.loads(toolkit("compact sir.zarr --json").stdout)
    assert found["schema"] == "toolkit.compact"
    assert 0 < found["bytes_after"] <= found["bytes_before"]


@pytest.mark.parametrize("command", ["check", "compact"])
def test_what_is_no_store_is_a_usage_error(toolkit: Toolkit, command: str) -> None:
    assert "no store" in toolkit(f"{command} none.zarr", code=2).stderr
