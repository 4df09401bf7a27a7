import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from toolkit.commands import machine

Toolkit = Callable[..., Result]


def packages(*found: tuple[str, str | None, str | None, bool]) -> list[dict[str, Any]]:
    keys = ("name", "version", "extra", "is_there")
    return [dict(zip(keys, each, strict=True)) | {"wanted": ">=2"} for each in found]


def test_doctor_says_what_there_is(toolkit: Toolkit) -> None:
    lines = toolkit("doctor").stdout
    for word in ("Versions", "Machine", "Dask configuration", "SLURM", "GPU", "numpy", "cores"):
        assert word in lines


def test_doctor_has_stable_keys_as_json(toolkit: Toolkit) -> None:
    found = json.loads(toolkit("doctor --json").stdout)
    assert (found["schema"], found["version"], found["is_complete"]) == ("toolkit.doctor", 1, True)
    assert set(found) == {
        "schema", "version", "python", "packages", "hardware", "dask", "slurm", "accelerators",
        "is_complete", "remedies",
    }  # fmt: skip
    assert {"cores", "cores_usable", "memory", "memory_available", "disk_free_here"} == set(
        found["hardware"]
    )
    assert {each["name"] for each in found["packages"]} >= {"dask", "zarr", "torch"}


def test_doctor_names_what_is_missing_and_the_command_that_adds_it(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = packages(("zarr", "1.0", None, False), ("salib", None, "sensitivity", False))
    monkeypatch.setattr(machine, "packages", lambda: found)
    done = toolkit("doctor", code=2)
    assert "zarr 1.0 (needs >=2)" in done.stdout
    assert "Missing for everything (NEEDED): zarr>=2" in done.stdout
    assert "Missing for sensitivity (optional): salib>=2" in done.stdout
    assert "install" in done.stdout.splitlines()[-1]
    assert "'salib>=2'" in done.stdout.splitlines()[-1]


def test_a_torch_that_does_not_see_the_gpu_is_missing_something(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"torch": "2.13.0+cpu", "driver": ["NVIDIA H100, 81559 MiB"], "torch_sees": []}
    monkeypatch.setattr(machine, "accelerators", lambda: found)
    output = toolkit("doctor").stdout
    assert "sees 0 of them" in output
    assert "a torch that sees the GPU" in output


def test_slurm_is_found_by_its_commands(
    folder: Path, monkeypatch: pytest.MonkeyPatch, toolkit: Toolkit
) -> None:
    sbatch = folder / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text("#!/bin/sh\necho slurm 24.05\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(sbatch.parent), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    assert f"slurm 24.05 ({sbatch}), inside of job 17" in toolkit("doctor").stdout


def test_dask_configuration_is_listed_with_what_it_sets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "site.yaml").write_text("jobqueue: {}\ndistributed: {}\n")
    (folder / "broken.yaml").write_text("a: [\n")
    monkeypatch.setenv("DASK_CONFIG", str(folder))
    found = machine.dask_configuration()
    assert found["files"][str(folder / "site.yaml")] == ["distributed", "jobqueue"]
    assert found["files"][str(folder / "broken.yaml")] == ["unreadable: ParserError"]
    assert "DASK_CONFIG" in found["variables"]


def test_profiles_are_listed_and_shown(toolkit: Toolkit, folder: Path) -> None:
    (folder / "cluster_configs").mkdir()
    (folder / "cluster_configs" / "mine.yaml").write_text("kind: local\nworkers: {big: {count: 2}}")
    (folder / "cluster_configs" / "wrong.yaml").write_text("kind: local\nwrokers: 2\n")
    done = toolkit("cluster list")
    assert {line.split()[0] for line in done.stdout.splitlines()} >= {"local", "mine", "wrong"}
    assert "wrokers" in done.stderr
    assert "count: 2" in toolkit("cluster show mine").stdout
    found = json.loads(toolkit("cluster show mine --json").stdout)
    assert found["settings"]["workers"]["big"]["threads"] == 1
    assert json.loads(toolkit("cluster list --json").stdout)["schema"] == "toolkit.cluster.list"


def test_an_unknown_profile_is_an_error_that_lists_those_there_are(toolkit: Toolkit) -> None:
    done = toolkit("cluster show locl", code=2)
    assert re.search(r"Found: .*\blocal, ", done.stderr)
    assert done.stderr.splitlines()[-1] == "Next: toolkit cluster list"


def test_doctor_tries_a_folder(
    toolkit: Toolkit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "scratch").mkdir()
    lines = toolkit("doctor scratch").stdout
    for word in ("Stores", "yes  a rename replaces a file at once", "TOOLKIT_FROZEN_DIR"):
        assert word in lines
    assert "NO" not in lines
    monkeypatch.setattr("os.link", lambda path, name: None)
    lines = toolkit("doctor scratch", code=1).stdout
    assert "NO   a name is given once" in lines
    assert "two drivers may hold one store" in lines
    found = json.loads(toolkit("doctor scratch --json", code=1).stdout)
    assert (found["schema"], found["is_good_for_stores"]) == ("toolkit.doctor_folder", False)
    assert [each["what"] for each in found["trials"] if not each["is_good"]] == [
        "a name is given once"
    ]
    assert "is no folder" in toolkit("doctor none", code=2).stderr
    assert list((folder / "scratch").iterdir()) == []
