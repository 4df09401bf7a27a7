"""``toolkit cluster check`` asks a real SLURM."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.slurm.machine import Slurm
from toolkit.cli import main

pytestmark = pytest.mark.slurm

Found = tuple[int, dict[str, Any]]
Check = Callable[[str], Found]


@pytest.fixture
def check(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Return a function that checks the text of a profile, or a profile by its name."""
    monkeypatch.chdir(tmp_path)

    def run(text: str) -> Found:
        name = text
        if "\n" in text:
            name = "site.yaml"
            Path(name).write_text(text)
        line = f"cluster check {name} --json"
        done = CliRunner().invoke(main, shlex.split(line), prog_name="toolkit")
        return done.exit_code, json.loads(done.stdout)

    return run


def problems(found: dict[str, Any], subject: str) -> str:
    return "\n".join(
        f"{each['text']} -> {each['remedy']}"
        for each in found["findings"]
        if not each["is_ok"] and each["subject"] == subject
    )


def test_the_tiers_that_ship_fit_the_slurm_of_the_tests(check: Check, slurm: Slurm) -> None:
    code, found = check("slurm-tiers")
    assert code == 0, found["findings"]
    taken = [each["subject"] for each in found["findings"] if "would take" in each["text"]]
    assert taken == ["small", "large", "gpu"]
    assert "--gres=gpu:1" in found["scripts"]["gpu"]
    assert slurm.run("squeue", "-h") == ""


def test_what_slurm_would_refuse_is_told_before_with_what_to_do(check: Check) -> None:
    code, found = check(
        "kind: slurm\n"
        "tiers:\n"
        "  nowhere: {memory: 500MB, walltime: 1min, partition: mars}\n"
        "  late: {memory: 500MB, walltime: 1h, partition: short}\n"
        "  big: {memory: 20GB, walltime: 1min, partition: highmem}\n"
        "  wide: {memory: 3GB, walltime: 1min, partition: short}\n"
        "  gpus: {memory: 1GB, walltime: 1min, partition: gpu, gpus: 3}\n"
        "  kind: {memory: 1GB, walltime: 1min, partition: gpu, gpus: 1, gpu_type: a100}\n"
        "  fine: {memory: 1GB, walltime: 1min, partition: gpu, gpus: 2, gpu_type: fake}\n"
    )
    assert code == 2
    assert "no partition mars" in problems(found, "nowhere")
    assert "one of gpu, highmem, long, short" in problems(found, "nowhere")
    assert "above the partition's limit of 00:05:00" in problems(found, "late")
    assert "Lower tiers.late.walltime" in problems(found, "late")
    assert "its largest: large1 (4 cores, 8.39 GB)" in problems(found, "big")
    assert "limit of 2.1 GB" in problems(found, "wide")
    assert "gpu1 (2 cores, 4.19 GB, 2 fake GPUs)" in problems(found, "gpus")
    assert "1 a100 GPU" in problems(found, "kind")
    for tier in ("nowhere", "big", "wide", "gpus", "kind"):
        assert "SLURM would refuse it: " in problems(found, tier), tier
    assert problems(found, "fine") == ""


def test_the_default_partition_is_taken_where_none_is_said(check: Check) -> None:
    code, found = check("kind: slurm\ntiers: {t: {memory: 500MB, walltime: 1min}}\n")
    assert code == 0
    texts = [each["text"] for each in found["findings"]]
    assert "partition short (SLURM's default) is up, with 2 nodes" in texts


def test_a_slurm_that_does_not_answer_is_one_problem_in_its_words(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slurm.conf").write_text("Nonsense=yes\n")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    code, found = check("slurm-tiers")
    assert code == 2
    assert "sinfo says: " in problems(found, "SLURM")


def test_a_job_of_a_tier_runs_as_its_script_says(slurm: Slurm, tmp_path: Path) -> None:
    from toolkit.clusters.job_script import job_script
    from toolkit.clusters.profile import load_profile

    settings = load_profile("slurm-tiers", log_folder=str(tmp_path)).queue
    lines = job_script(settings, "gpu").splitlines()
    assert "job_process" in lines.pop()
    left = "echo ends in $((TOOLKIT_JOB_ENDS - $(date +%s))) s with GPU $CUDA_VISIBLE_DEVICES"
    script = tmp_path / "job.sh"
    script.write_text("\n".join([*lines, left, ""]))
    slurm.run("sbatch", "--wait", str(script))
    [log] = tmp_path.glob("toolkit-gpu-*.log")
    words = log.read_text().split()
    assert 3500 < int(words[2]) <= 3600
    gpu_is_device = (slurm.folder / "dev" / "gpu0").is_char_device()
    assert words[-1] in ("0", "1") or not gpu_is_device


def test_a_worker_of_a_tier_has_its_tags_and_knows_when_its_job_ends(
    slurm: Slurm, tmp_path: Path
) -> None:
    import os
    import time

    from dask.distributed import Client

    from toolkit.clusters.job_classes import job_class
    from toolkit.clusters.job_script import folders, job_options
    from toolkit.clusters.profile import load_profile

    job_class("slurm")
    from dask_jobqueue import SLURMCluster

    settings = load_profile(
        "slurm-tiers", log_folder=f"{tmp_path}/logs", shared_folder=f"{tmp_path}/keys"
    ).queue
    for folder in folders(settings):
        Path(folder).mkdir(mode=0o700)
    address = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with (
        SLURMCluster(
            **(job_options(settings, "gpu") | {"interface": "lo"}),
            scheduler_options=address,
            security=True,
            shared_temp_directory=settings.shared_folder,
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.scale(jobs=1)
        tags = {"tier-gpu": 1, "GPU": 1}
        ends = client.submit(os.getenv, "TOOLKIT_JOB_ENDS", resources=tags, pure=False)
        assert 3400 < int(ends.result(timeout=60)) - time.time() <= 3600
        limits = client.run(lambda dask_worker: dask_worker.memory_manager.memory_limit)
        for part in ("ca_file", "cert", "key"):  # which dask-jobqueue leaves to the collector
            getattr(cluster, f"_job_{part}").close()
    [memory] = limits.values()
    expected = settings.ladder()[2].memory
    assert expected is not None
    assert abs(memory - expected) < 1e7
    assert list((tmp_path / "logs").glob("toolkit-gpu-*.log"))


def test_the_scripts_start_and_stop_a_slurm_twice_over(tmp_path_factory: Any) -> None:
    import shutil
    import tempfile

    here = Path(__file__).parent
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    try:
        for _ in range(2):
            subprocess.run([here / "up", folder], check=True, capture_output=True)
        told = Slurm(folder=folder).run("sinfo", "-h", "-o", "%P")
        assert set(told.split()) == {"short*", "long", "highmem", "gpu"}
    finally:
        for _ in range(2):
            subprocess.run([here / "down", folder], check=True, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)
    assert not folder.exists()
