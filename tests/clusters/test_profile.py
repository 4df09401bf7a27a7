import pytest

import toolkit as tk
from toolkit.clusters.profile import load_profile, profile_names


def write(folder, text):
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def test_the_local_profile_ships_and_is_valid():
    profile = load_profile("local")
    assert "local" in profile_names()
    assert profile.settings.workers["cpu"].threads == 1


def test_overrides_replace_settings_of_the_only_kind_of_worker():
    profile = load_profile("local", workers=3, threads=2, memory="1GB", resources={"GPU": 1})
    kind = profile.settings.workers["cpu"]
    assert (kind.count, kind.threads, kind.memory, kind.resources) == (3, 2, "1GB", {"GPU": 1})


def test_several_kinds_of_workers_can_be_given():
    profile = load_profile("local", workers={"small": {"count": 1}, "gpu": {"count": 1}})
    assert list(profile.settings.workers) == ["small", "gpu"]
    with pytest.raises(tk.ClusterError, match="Unknown cluster setting 'cores'"):
        load_profile("local", cores=4)


def test_an_unknown_profile_lists_those_there_are():
    with pytest.raises(tk.ClusterError, match=r"Found: .*local"):
        load_profile("mars")
    with pytest.raises(tk.ClusterError, match=r"nowhere\.yaml"):
        load_profile("nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("kind: local\nworker: {}\n", "worker"),
        ("kind: local\nworkers: {cpu: {count: -1}}\n", "count"),
        ("kind: local\nworkers: {cpu: {memory: 16}}\n", "unit"),
        ("kind: local\nworkers: {cpu: {memory: 16 parsecs}}\n", "parsecs"),
        ("kind: cloud\n", "cloud"),
        ("- a list\n", "mapping"),
        ("kind: [local\n", "YAML"),
    ],
)
def test_a_bad_profile_names_the_file_and_the_key(tmp_path, text, key):
    with pytest.raises(tk.ClusterError, match=key) as refused:
        load_profile(write(tmp_path, text))
    assert "site.yaml" in str(refused.value)
