import json
import os
import re
import subprocess
import sys
from pathlib import Path

import dask
import pytest

import toolkit as tk
from toolkit.clusters.profile import load_profile, profile_names
from toolkit.clusters.settings import CONFIRMATION

ROOT = Path(__file__).parents[2]
MINIMAL = "kind: slurm\ntiers: {small: {memory: 4GB, walltime: 1h}}\n"


def write(folder, text):
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def test_the_local_profile_ships_and_is_valid():
    profile = load_profile("local")
    assert "local" in profile_names()
    assert profile.settings.tiers["cpu"].threads == 1


@pytest.mark.parametrize("path", sorted((ROOT / "cluster_configs").glob("*.yaml")), ids=str)
def test_every_profile_that_ships_is_valid_and_says_whether_it_was_tested(path):
    profile = load_profile(path)
    assert len(profile.settings.ladder()) == len(profile.settings.tiers)
    if not path.stem.startswith(("local", "slurm")):
        text = path.read_text()
        assert "UNTESTED HERE" in text
        assert "https://" in text
        assert "read on 20" in text


def test_the_profiles_of_the_guide_are_valid(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_ACCOUNT", "m1")
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs/how-to/clusters.md").read_text(), re.M | re.S
    )
    kinds = [load_profile(write(tmp_path, block)).settings.kind for block in blocks]
    assert kinds == ["slurm", "local", "slurm"]
    large = load_profile(write(tmp_path, blocks[0])).settings.tiers["large"]
    assert (large.processes, large.threads) == (2, 4)


def test_overrides_replace_settings_of_the_only_tier():
    profile = load_profile("local", workers=3, threads=2, memory="1GB", resources={"GPU": 1})
    tier = profile.settings.tiers["cpu"]
    assert (tier.count, tier.threads, tier.memory, tier.resources) == (3, 2, "1GB", {"GPU": 1})
    assert profile.origins["tiers.cpu.count"] == "override"


def test_a_tag_given_by_hand_makes_a_tier_with_gpus():
    [tier] = load_profile("local", resources={"GPU": 2}).settings.ladder().tiers
    assert tier.gpus == 2
    assert not tier.lacks(tk.Resources(gpus=2))


def test_local_tiers_share_the_memory_of_the_machine_with_those_to_come():
    own = {"memory": "1GB", "count": 1}
    tiers = {"cpu": {"count": 2}, "more": {"minimum": 0, "maximum": 2}, "own": own}
    settings = load_profile("local", tiers=tiers).local
    cpu, more, fixed = settings.ladder().tiers
    assert cpu.memory == more.memory == settings.machine_memory() // 5
    assert (fixed.memory, more.minimum, more.maximum, cpu.maximum) == (10**9, 0, 2, 2)


def test_several_tiers_can_be_given():
    profile = load_profile("local", workers={"small": {"count": 1}, "gpu": {"count": 1}})
    assert list(profile.settings.tiers) == ["small", "gpu"]
    with pytest.raises(tk.ClusterError, match="Unknown cluster setting 'cores'"):
        load_profile("local", cores=4)


def test_one_setting_of_one_tier_can_be_given_by_its_key(tmp_path):
    path = write(tmp_path, MINIMAL.replace("}}", "}, large: {memory: 64GB, walltime: 1h}}"))
    tiers = load_profile(path, **{"tiers.large.maximum": 3}).settings.tiers
    assert (tiers["small"].maximum, tiers["large"].maximum) == (10, 3)
    with pytest.raises(tk.ClusterError, match="several tiers, so memory does not say which"):
        load_profile(path, memory="1GB")


def test_what_holds_for_all_tiers_replaces_their_own_when_it_is_given(tmp_path):
    text = MINIMAL.replace("1h}", "1h, partition: long}, large: {memory: 64GB, walltime: 1h}")
    profile = load_profile(write(tmp_path, text), partition="debug")
    assert {tier.partition for tier in profile.settings.tiers.values()} == {"debug"}
    assert profile.origins["tiers.small.partition"] == "override"


def test_an_unknown_profile_lists_those_there_are():
    with pytest.raises(tk.ClusterError, match=r"Found: .*local"):
        load_profile("mars")
    with pytest.raises(tk.ClusterError, match=r"nowhere\.yaml"):
        load_profile("nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("kind: local\nworker: {}\n", "worker"),
        ("kind: local\nworkers: {cpu: {count: -1}}\n", "workers.cpu.count"),
        ("kind: local\nworkers: {cpu: {memory: 16}}\n", "unit"),
        ("kind: local\nworkers: {cpu: {memory: 16 parsecs}}\n", "parsecs"),
        ("kind: local\ntiers: {a: {}}\nworkers: {b: {}}\n", "two names of one setting"),
        ("kind: local\ntiers: {'two words': {}}\n", "two words"),
        ("kind: local\ntiers: {}\n", "tiers"),
        ("kind: local\ntiers: {cpu: {minimum: 3, maximum: 2}}\n", "minimum: 3 is above maximum"),
        ("kind: local\ntiers: {cpu: {count: 2, maximum: 3}}\n", "write minimum: 2"),
        ("kind: cloud\n", "'slurm'"),
        ("kind: htcondor\n", "no shell scripts"),
        ("- a list\n", "mapping"),
        ("kind: [local\n", "YAML"),
        ("kind: slurm\n", "tiers: is needed"),
        ("kind: slurm\ntiers: {small: {walltime: 1h}}\n", "tiers.small.memory: is needed"),
        (MINIMAL.replace("4GB", "4"), r"tiers.small.memory: needs a unit"),
        (MINIMAL.replace("1h", "1:30:00"), "needs a unit, or quotes.*found 5400"),
        (MINIMAL.replace("1h", "'3600'"), "needs a unit"),
        (MINIMAL.replace("1h", "1h, wall: 3"), "tiers.small.wall: is not a setting"),
        (MINIMAL.replace("1h", "1h, cores: 2, threads: 2, processes: 2"), "need 4 cores"),
        (MINIMAL.replace("1h", "1h, gpus: 2, processes: 2"), "processes: 1"),
        (MINIMAL.replace("4GB", "130MB"), "leaves 30 MB"),
        (MINIMAL.replace("1h", "1h, resource_spec: x"), "resource_spec: is not a setting"),
        (MINIMAL + "python: /bin/a b\n", "python: must be one word"),
        (MINIMAL + 'account: "a\\n#SBATCH --wrap=x"\n', "account: must be one line"),
        (MINIMAL + "security: none\n", CONFIRMATION),
        (MINIMAL + "security: none\nlisten_in_the_clear: yes please\n", CONFIRMATION),
    ],
)
def test_a_bad_profile_names_the_file_and_the_key(tmp_path, text, key):
    with pytest.raises(tk.ClusterError, match=key) as refused:
        load_profile(write(tmp_path, text))
    assert "site.yaml" in str(refused.value)


def test_what_listens_in_the_clear_has_been_confirmed_in_words(tmp_path):
    assert load_profile(write(tmp_path, MINIMAL)).settings.security == "tls"
    said = f"{MINIMAL}security: none\nlisten_in_the_clear: {CONFIRMATION}\n"
    assert load_profile(write(tmp_path, said)).settings.security == "none"


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ("", (1, 1, 1)),
        (", cores: 8", (8, 1, 8)),
        (", cores: 8, threads: 4", (8, 4, 2)),
        (", cores: 8, processes: 2", (8, 4, 2)),
        (", threads: 2, processes: 3", (6, 2, 3)),
        (", threads: 4", (4, 4, 1)),
        (", cores: 8, threads: 1, processes: 1", (8, 1, 1)),
        (", cores: 4, gpus: 1", (4, 4, 1)),
    ],
)
def test_cores_threads_and_processes_follow_from_each_other(tmp_path, given, shape):
    path = write(tmp_path, MINIMAL.replace("1h", "1h" + given).replace("4GB", "40GB"))
    tier = load_profile(path).settings.tiers["small"]
    assert (tier.cores, tier.threads, tier.processes) == shape


def test_the_ladder_counts_workers_and_leaves_the_nanny_its_memory(tmp_path):
    text = MINIMAL.replace("1h", "1h, processes: 2, threads: 3, minimum: 1, maximum: 4")
    [tier] = load_profile(write(tmp_path, text)).settings.ladder().tiers
    assert (tier.threads, tier.minimum, tier.maximum) == (3, 2, 8)
    assert (tier.memory, tier.walltime) == (1_950_000_000, 3600.0)


def test_variables_come_from_the_environment(tmp_path, monkeypatch):
    more = "1h, maximum: '${JOBS:-7}', cores: '${CORES}', resources: {LICENSE: '${JOBS:-2}'}"
    text = MINIMAL.replace("1h", more)
    path = write(tmp_path, text + "account: ${GROUP}_g\nprologue: ['cd ${TMPDIR_OF_THE_JOB}']\n")
    monkeypatch.setenv("GROUP", "m12")
    monkeypatch.delenv("JOBS", raising=False)
    monkeypatch.delenv("CORES", raising=False)
    with pytest.raises(tk.ClusterError, match=r"site\.yaml: tiers\.small\.cores: .*CORES is not"):
        load_profile(path)
    monkeypatch.setenv("CORES", "4")
    profile = load_profile(path)
    tier = profile.settings.tiers["small"]
    assert (profile.settings.account, tier.account, tier.maximum) == ("m12_g", "m12_g", 7)
    assert (tier.cores, tier.processes, tier.resources) == (4, 4, {"LICENSE": 2.0})
    assert profile.settings.prologue == ["cd ${TMPDIR_OF_THE_JOB}"]
    assert profile.origins["tiers.small.account"] == f"{path}:3, $GROUP"
    monkeypatch.setenv("JOBS", "")
    assert load_profile(path).settings.tiers["small"].maximum == 7


def test_each_setting_says_where_it_comes_from(tmp_path):
    path = write(
        tmp_path,
        "kind: slurm\ntiers:\n  small: &small\n    memory: 4GB\n    walltime: 1h\n"
        + "  large:\n    <<: *small\n    memory: 64GB\n",
    )
    origins = load_profile(path, job_name="mine").origins
    assert origins["tiers.small.memory"] == f"{path}:4"
    assert origins["tiers.large.memory"] == f"{path}:8"
    assert origins["tiers.large.walltime"] == f"{path}:5"
    assert origins["tiers.large.maximum"] == "default"
    assert origins["job_name"] == "override"


@pytest.fixture
def site(tmp_path):
    """Return a function that writes the site's configuration of dask-jobqueue."""
    folder = tmp_path / "etc"
    folder.mkdir()
    dask.config.paths.append(str(folder))

    def write_site(**settings):
        (folder / "jobqueue.yaml").write_text(json.dumps({"jobqueue": {"slurm": settings}}))
        dask.config.refresh()
        return folder / "jobqueue.yaml"

    yield write_site
    dask.config.paths.remove(str(folder))
    dask.config.refresh()


def test_what_the_profile_does_not_say_comes_from_the_site(tmp_path, site):
    where = site(
        queue="batch", account="m1", memory="8GB", cores=6, processes=2, walltime="02:00:00",
        interface="ib0", **{"log-directory": "/logs", "job-extra-directives": ["--exclusive"]},
    )  # fmt: skip
    path = write(
        tmp_path, "kind: slurm\naccount: mine\ntiers: {a: {memory: 4GB}, b: {threads: 1}}\n"
    )
    profile = load_profile(path)
    a, b = profile.settings.tiers["a"], profile.settings.tiers["b"]
    assert (profile.settings.account, profile.settings.interface) == ("mine", "ib0")
    assert (a.partition, a.memory, a.walltime) == ("batch", "4GB", "02:00:00")
    assert (a.cores, a.threads, a.processes, a.directives) == (6, 3, 2, ["--exclusive"])
    assert (b.cores, b.threads, b.memory) == (1, 1, "8GB")
    assert profile.origins["tiers.a.walltime"] == f"{where}, jobqueue.slurm.walltime"
    assert profile.origins["tiers.a.partition"] == f"{where}, jobqueue.slurm.queue"
    assert profile.origins["tiers.a.memory"] == f"{path}:3"
    assert profile.origins["log_folder"] == f"{where}, jobqueue.slurm.log-directory"


def test_a_wrong_setting_of_the_site_is_shown_with_its_file(tmp_path, site):
    where = site(walltime=5400)
    path = write(tmp_path, "kind: slurm\ntiers: {a: {memory: 4GB}}\n")
    with pytest.raises(tk.ClusterError, match="needs a unit") as refused:
        load_profile(path)
    assert str(where) in str(refused.value)


def test_settings_of_the_process_and_of_dasks_variables_count_too(tmp_path, monkeypatch):
    path = write(tmp_path, MINIMAL)
    with dask.config.set({"jobqueue.slurm.queue": "night"}):
        profile = load_profile(path)
        assert profile.settings.tiers["small"].partition == "night"
        assert profile.origins["partition"] == "dask.config, jobqueue.slurm.queue"
        monkeypatch.setenv("DASK_JOBQUEUE__SLURM__QUEUE", "night")
        assert load_profile(path).origins["partition"].startswith("$DASK_JOBQUEUE__SLURM__QUEUE")


def test_a_profile_reads_the_same_with_dask_jobqueue_loaded_and_leaves_the_home_alone(tmp_path):
    path = write(tmp_path, MINIMAL)
    code = f"""
import sys
from toolkit.clusters.profile import load_profile
before = load_profile({str(path)!r})
assert not any(name.startswith(("dask_jobqueue", "distributed")) for name in sys.modules)
from toolkit.clusters.job_classes import job_class
job_class("slurm")
after = load_profile({str(path)!r})
assert before == after, (before, after)
"""
    home = tmp_path / "home"
    home.mkdir()
    variables = {key: value for key, value in os.environ.items() if key != "DASK_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=variables | {"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(home.rglob("jobqueue.yaml")) == []
