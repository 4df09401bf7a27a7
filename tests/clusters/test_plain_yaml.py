"""Profiles from strangers: a few lines never become very much."""

import os
import time
from pathlib import Path

import pytest

import toolkit as tk
from toolkit.clusters.plain_yaml import MOST_BYTES, read_yaml
from toolkit.clusters.profile import load_profile


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "p.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


BOMBS = {
    "laughs": "a0: &a0 [x, x]\n"
    + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}]\n" for n in range(1, 12)),
    "merges": "a0: &a0 {x: 1}\n"
    + "".join(f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)),
    "texts": f"a: &a {'x' * 100_000}\nb: [{'*a, ' * 1000}]\n",
    "itself": "&a [*a]",
    "its mapping": "&a {b: *a}",
    "merged itself": "&a {<<: *a}",
    "nothing": "a: *b",
    "deep lists": "[" * 100_000,
    "deep mappings": "{a: " * 50_000,
    "deep blocks": "- " * 50_000,
    "digits": "a: " + "1" * 100_000,
    "date": "a: 2024-99-99",
    "bytes": b"\xff\xfe\x00a",
    "null byte": "a: \0",
    "size": "#" * (MOST_BYTES + 1),
    "object": "!!python/object/apply:os.system ['true']",
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_no_profile_is_refused_soon(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, BOMBS[name])
    begin = time.process_time()
    with pytest.raises(tk.ClusterError, match=r"p\.yaml") as refused:
        read_yaml(path)
    assert time.process_time() - begin < 20
    assert len(str(refused.value)) < 2000


def test_aliases_and_merges_of_a_reasonable_size_are_kept(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "kind: local\nworkers:\n  a: &a {count: 1, threads: 2}\n  b: {<<: *a, count: 2}\n  c: *a\n",
    )
    workers = load_profile(path).settings.tiers
    assert [kind.count for kind in workers.values()] == [1, 2, 1]
    assert workers["b"].threads == 2


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(tk.ClusterError, match=r"p\.yaml"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("workers: {cpu: {count: 1000000}}", "workers.cpu.count"),
        ("workers: {cpu: {threads: 1000000}}", "workers.cpu.threads"),
        ("workers: {cpu: {resources: {GPU: .inf}}}", "workers.cpu.resources.GPU"),
        ("dashboard: 0.0.0.0:x", "dashboard"),
        ("dashboard: 127.0.0.1:99999", "dashboard"),
        (f"workers: {'x' * 10_000}", "workers"),
    ],
)
def test_a_setting_beyond_all_reason_is_refused_and_shown_in_short(
    tmp_path: Path, line: str, key: str
) -> None:
    with pytest.raises(tk.ClusterError, match=key) as refused:
        load_profile(written(tmp_path, f"kind: local\n{line}\n"))
    assert len(str(refused.value)) < 600
