"""What job queues are asked for, as text."""

import re
from pathlib import Path

import dask
import pytest

from toolkit.clusters.job_script import folders, job_options, job_script
from toolkit.clusters.profile import load_profile

TIER = "memory: 4GiB, walltime: 90min"


def script(folder: Path, text: str, tier: str = "t") -> list[str]:
    path = folder / "p.yaml"
    path.write_text(text)
    return job_script(load_profile(path).queue, tier).splitlines()


def asked(lines: list[str]) -> list[str]:
    return [line for line in lines if re.match(r"#[A-Z$]+ ", line)]


def test_slurm_is_asked_for_all_that_a_tier_says(tmp_path: Path) -> None:
    lines = script(
        tmp_path,
        "kind: slurm\naccount: m1\npartition: batch\nlog_folder: logs\nmodules: [python/3.12]\n"
        "prologue: ['source $HOME/env/bin/activate']\npython: /opt/bin/python3\n"
        f"tiers: {{t: {{{TIER}, cores: 4, threads: 2, qos: fast, constraint: cpu, "
        "directives: ['--exclusive'], resources: {LICENSE: 2}}}\n",
    )
    assert asked(lines) == [
        "#SBATCH -J toolkit-t",
        "#SBATCH -p batch",
        "#SBATCH -A m1",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=4",
        "#SBATCH --mem=4096M",
        "#SBATCH -t 01:30:00",
        "#SBATCH --qos=fast",
        "#SBATCH --constraint=cpu",
        "#SBATCH --no-requeue",
        "#SBATCH --output=logs/%x-%j.log",
        "#SBATCH --exclusive",
    ]
    start = lines.index("module load python/3.12")
    assert lines[start + 1] == "source $HOME/env/bin/activate"
    assert lines[start + 2] == "export TOOLKIT_TIER=t"
    assert lines[start + 3].startswith("export TOOLKIT_JOB_ENDS=${SLURM_JOB_END_TIME:-")
    assert lines[start + 3].endswith(" TOOLKIT_JOB_SECONDS=5400")
    worker = lines[start + 4]
    assert worker.startswith("/opt/bin/python3 -m toolkit.clusters.job_process tls://")
    assert "--nanny " in worker
    assert "--nworkers 2 " in worker
    assert "--nthreads 2 " in worker
    assert "--memory-limit 1.95GiB " in worker  # half of 4 GiB less 100 MB for the nanny
    assert "--resources tier-t=1e+06,LICENSE=2 " in worker
    assert "--tls-key ~/.toolkit/certificates/KEY" in worker
    assert "--no-dashboard --dashboard-address 127.0.0.1:0 " in worker
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    ("flags", "there", "gone"),
    [
        ("", "#SBATCH --mem=4096M", "--mem-per-cpu"),
        ("memory_flag: mem-per-cpu", "#SBATCH --mem-per-cpu=1024M", "--mem="),
        ("memory_flag: none", "#SBATCH -n 1", "SBATCH --mem"),
        ("gpu_flag: gres", "#SBATCH --gres=gpu:a100:2", "--gpus"),
        ("gpu_flag: gpus-per-node", "#SBATCH --gpus-per-node=a100:2", "--gres"),
        ("gpu_flag: none", "#SBATCH -n 1", "a100"),
        ("requeue: true", "#SBATCH --requeue", "--no-requeue"),
        ("requeue: null", "#SBATCH -n 1", "requeue"),
        ("log_folder: null", "#SBATCH -n 1", "--output"),
        ("skip_directives: ['-n 1', '-J']", "#SBATCH --cpus-per-task=4", "#SBATCH -J"),
        ("security: none\nlisten_in_the_clear: I understand that anybody who reaches the port can "
         "run code as me", "#SBATCH -n 1", "--tls"),
    ],
)  # fmt: skip
def test_quirks_of_sites(tmp_path: Path, flags: str, there: str, gone: str) -> None:
    tier = f"{TIER}, cores: 4, gpus: 2, gpu_type: a100"
    lines = script(tmp_path, f"kind: slurm\n{flags}\ntiers: {{t: {{{tier}}}}}\n")
    assert there in lines
    assert [line for line in lines if gone in line] == []


def test_pbs_and_moab(tmp_path: Path) -> None:
    for kind in ("pbs", "moab"):
        lines = script(
            tmp_path,
            f"kind: {kind}\nproject: m1\nqueue: work\nlog_folder: logs\n"
            f"tiers: {{t: {{{TIER}, cores: 2, gpus: 1}}}}\n",
        )
        assert asked(lines) == [
            "#PBS -N toolkit-t",
            "#PBS -q work",
            "#PBS -A m1",
            "#PBS -l select=1:ncpus=2:mem=4096mb:ngpus=1",
            "#PBS -l walltime=01:30:00",
            "#PBS -r n",
            "#PBS -o logs/",
            "#PBS -j oe",
        ]
    text = f"kind: pbs\ntiers: {{t: {{{TIER}, resource_spec: 'nodes=1:ppn=2'}}}}\n"
    assert "#PBS -l nodes=1:ppn=2" in script(tmp_path, text)


def test_sge(tmp_path: Path) -> None:
    lines = script(
        tmp_path,
        "kind: sge\nmemory_flag: h_vmem\nparallel_environment: omp\naccount: m1\nqueue: all.q\n"
        f"tiers: {{t: {{{TIER}, cores: 4, gpus: 1}}}}\n",
    )
    assert asked(lines) == [
        "#$ -N toolkit-t",
        "#$ -q all.q",
        "#$ -P m1",
        "#$ -l h_vmem=1024M,gpu=1",
        "#$ -l h_rt=01:30:00",
        "#$ -cwd",
        "#$ -j y",
        "#$ -pe omp 4",
        "#$ -r n",
        "#$ -o toolkit-logs/",
    ]


def test_lsf(tmp_path: Path) -> None:
    lines = script(
        tmp_path,
        "kind: lsf\naccount: m1\nqueue: normal\nmemory_unit: mb\n"
        f"tiers: {{t: {{{TIER}, cores: 4, gpus: 1}}}}\n",
    )
    assert asked(lines) == [
        "#BSUB -J toolkit-t",
        "#BSUB -q normal",
        '#BSUB -P "m1"',
        "#BSUB -n 4",
        '#BSUB -R "span[hosts=1]"',
        "#BSUB -M 4295",
        "#BSUB -W 01:30",
        '#BSUB -gpu "num=1"',
        "#BSUB -rn",
        "#BSUB -o toolkit-logs/%J.log",
    ]


def test_what_a_profile_says_to_be_without_is_not_taken_from_the_site(tmp_path: Path) -> None:
    of_site = {
        "account": "site", "queue": "site", "log-directory": str(tmp_path / "logs"),
        "env-extra": ["echo site"], "shebang": "#!/bin/zsh", "worker-extra-args": ["--site"],
    }  # fmt: skip
    with dask.config.set({f"jobqueue.slurm.{key}": value for key, value in of_site.items()}):
        text = "kind: slurm\naccount: null\nqueue: null\nprologue: []\nlog_folder: null\n"
        lines = script(tmp_path, f"{text}worker_arguments: []\ntiers: {{t: {{{TIER}}}}}\n")
        taken = script(tmp_path, f"kind: slurm\ntiers: {{t: {{{TIER}}}}}\n")
    assert lines[0] == taken[0] == "#!/bin/zsh"
    assert [line for line in lines if "site" in line or "logs" in line] == []
    assert {"#SBATCH -A site", "#SBATCH -p site", "echo site"} <= set(taken)
    assert f"#SBATCH --output={tmp_path}/logs/%x-%j.log" in taken
    assert "--site" in taken[-1] or "--site" in taken[-2]
    assert not (tmp_path / "logs").exists()


def test_options_are_those_of_dask_jobqueue_and_leave_the_rest_to_the_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "p.yaml"
    path.write_text(f"kind: slurm\nlog_folder: ~/logs\ntiers: {{t: {{{TIER}}}}}\n")
    settings = load_profile(path).queue
    options = job_options(settings, "t")
    assert not {"scheduler", "name", "protocol", "security"} & set(options)
    assert "--output=/home/me/logs/%x-%j.log" in options["job_extra_directives"]
    assert folders(settings) == ["/home/me/logs", "/home/me/.toolkit/certificates"]
