"""What made a store."""

import json
import subprocess

import pytest

from toolkit.stores.runs.provenance import git_state, provenance


def test_it_is_plain_and_whole(tmp_path):
    found = provenance(code={"sir": "abc"}, script="study.py:sweep", folder=str(tmp_path))
    json.dumps(found)
    assert found["code"] == {"sir": "abc"}
    assert found["script"] == "study.py:sweep"
    assert found["git"] is None
    assert "numpy" in found["versions"]


def test_git_tells_commit_and_change(tmp_path):
    def git(*arguments):
        command = [
            "git",
            "-C",
            str(tmp_path),
            "-c",
            "user.name=a",
            "-c",
            "user.email=b",
            *arguments,
        ]
        subprocess.run(command, check=True, capture_output=True)

    try:
        git("init", "-q")
    except OSError:
        pytest.skip("git is not installed")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    clean = git_state(str(tmp_path))
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "a").write_text("2")
    assert git_state(str(tmp_path))["dirty"] is True


def test_git_may_be_absent(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(str(tmp_path)) is None
