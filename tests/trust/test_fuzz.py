"""The fuzzer in its short form: damage by hypothesis, and the driver for a second."""

import contextlib
import random
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import toolkit as tk
from tests.trust import mutations
from tests.trust.readers import read_profile, read_store, write_store
from tests.trust.specimens import KINDS
from toolkit.stores.journals import records, scanning

ROOT = Path(__file__).parents[2]
SEEDS = st.integers(0, 2**63)
QUICK = settings(
    max_examples=6,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("only", ["", ".journal"])
@QUICK
@given(seed=SEEDS)
def test_a_damaged_store_is_read_or_refused(
    specimen_folder: Path, tmp_path: Path, little_room, kind: str, only: str, seed: int
) -> None:
    rng, path = random.Random(seed), tmp_path / "x.zarr"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(specimen_folder / f"{kind}.zarr", path)
    mutations.mutate_store(path, rng, only)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_store(path, rng)
        with contextlib.suppress(tk.ToolkitError):
            write_store(path)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=200), SEEDS), max_size=5))
def test_signed_records_of_any_content_are_scanned(parts) -> None:
    data = b""
    for kind, payload, seed in parts:
        rng = random.Random(seed)
        numbers = [rng.choice([0, 1, 2, 2**31, 2**32 - 1]) for _ in range(3)]
        flags, stage = rng.randrange(256), rng.choice([0, 1])
        head = [records.MAGIC, 0, 0, kind, flags, stage, *numbers, rng.choice([-1, 0, 2**62]), 0.0]
        data += mutations.signed(head, payload)
    for found in scanning.scan(data, records.Stages()):
        assert found.origin.end <= len(data)


@settings(max_examples=40)
@given(seed=SEEDS)
def test_a_damaged_profile_is_read_or_refused(tmp_path_factory, seed: int) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(mutations.mutate_profile(random.Random(seed)))
    try:
        read_profile(path)
    except tk.ClusterError as error:
        refused = str(error)
    else:
        refused = ""
    assert len(refused) < 20_000


def test_the_driver_repeats_an_input() -> None:
    command = [sys.executable, "-m", "tests.trust", "--only", "profile"]
    command += ["--seed", "1", "--input", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "profile: seed 1, 1 inputs" in done.stdout
