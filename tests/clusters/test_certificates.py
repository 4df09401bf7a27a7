"""Certificates in folders that are not as they should be."""

import os
import resource
import shlex
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import toolkit as tk
from toolkit.clusters.certificates import Certificates

GONE = 2**22 + 1  # no process has this number
SITE = """
kind: slurm
interface: lo
shared_folder: {folder}
log_folder: null
dashboard: null
tiers: {{t: {{memory: 600MB, walltime: 5min}}}}
"""


def test_they_are_for_their_owner_only_in_a_folder_that_all_may_write_to(tmp_path):
    shared = tmp_path / "for all of us"
    shared.mkdir()
    shared.chmod(0o777)
    made = Certificates(str(shared))
    assert stat.S_IMODE(made.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in made.folder.iterdir()} == {0o600}
    [named] = shlex.split(made.of_workers.tls_worker_key)  # as the shell of a job reads it
    assert Path(named).read_text().startswith("-----BEGIN")
    made.remove()
    assert list(shared.iterdir()) == []


def test_what_a_killed_driver_left_is_removed_and_nothing_else(tmp_path):
    host = socket.gethostname()
    left, results = tmp_path / f"{host}-{GONE}-abc", tmp_path / f"{host}-{GONE}-results"
    living, link = tmp_path / f"{host}-{os.getpid()}-abc", tmp_path / f"{host}-{GONE}-link"
    for folder in (left, results, living):
        folder.mkdir()
        (folder / "key.pem").write_text("secret")
    (results / "thesis.txt").write_text("all of it")
    link.symlink_to(living)
    made = Certificates(str(tmp_path))
    assert not left.exists()
    assert (results / "thesis.txt").exists()
    assert (results / "key.pem").exists()
    assert (living / "key.pem").exists()
    assert link.is_symlink()
    made.remove()


def test_a_file_system_that_shows_them_to_all_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stat, "S_IMODE", lambda mode: 0o777)  # as one without modes says
    with pytest.raises(tk.ClusterError, match="cannot be kept from other users"):
        Certificates(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_on_a_full_disk_nothing_is_left(tmp_path):
    code = "import sys; from toolkit.clusters.certificates import Certificates as C; C(sys.argv[1])"

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(tmp_path)],
        preexec_fn=fill,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (tmp_path / "file").write_text("")
    (tmp_path / "site.yaml").write_text(SITE.format(folder=tmp_path / "file" / "deep"))
    with pytest.raises(tk.ClusterError, match=r"site\.yaml: the folder .*deep cannot be made"):
        tk.cluster(tmp_path / "site.yaml").__enter__()
