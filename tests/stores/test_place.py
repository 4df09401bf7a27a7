"""A folder is tried for what stores rely on; what is missing is found."""

import fcntl
import os
import time

import pytest

from toolkit.errors import StoreError
from toolkit.stores.upkeep import place
from toolkit.stores.upkeep.place import examine


def trial(found, what):
    [one] = [each for each in found.trials if each.what == what]
    return one


def test_a_local_folder_is_good_and_is_left_as_it_was(tmp_path):
    (tmp_path / "mine").write_text("x")
    found = examine(tmp_path)
    assert found.is_good_for_stores
    assert [each.found for each in found.trials if not each.is_good] == []
    assert found.folder == str(tmp_path)
    assert os.listdir(tmp_path) == ["mine"]


def copy_over(source, target):
    with open(target, "wb") as file:  # noqa: SIM117 - emptied first, as where renames copy
        with open(source, "rb") as other:
            file.write(other.read(1))
            file.flush()
            time.sleep(0.001)
            file.write(other.read())


@pytest.mark.parametrize(
    ("module", "name", "otherwise", "what", "seen"),
    [
        (os, "replace", copy_over, "a rename replaces a file at once", "torn"),
        (os, "rename", lambda old, new: None, "folders are renamed", "the old one"),
        (os, "writev", lambda fd, pieces: os.write(fd, pieces[0]), "what is appended is seen",
         "2 bytes unseen"),
        (os, "replace", lambda old, new: None, "a replaced file is seen to be another", "stat"),
        (os, "link", lambda path, name: None, "a name is given once", "the same name"),
        (os, "unlink", lambda path, **_: None, "an open file can be deleted", "cannot be deleted"),
        (fcntl, "flock", lambda file, how: None, "locks are held", "the same lock"),
        (time, "time", lambda: 1e9, "clocks agree", "s from that of this machine"),
    ],
)  # fmt: skip
def test_what_is_missing_is_found(tmp_path, monkeypatch, module, name, otherwise, what, seen):
    monkeypatch.setattr(place, "_PATIENCE_S", 0.5)
    monkeypatch.setattr(place, "_TRIALS", [each for each in place._TRIALS if each[0] == what])
    monkeypatch.setattr(module, name, otherwise)
    found = examine(tmp_path)
    monkeypatch.undo()
    one = trial(found, what)
    assert not one.is_good
    assert seen in one.found
    assert one.otherwise
    assert found.is_good_for_stores == (one.used_by != "store")


def test_an_error_is_what_was_found(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(place.mmap, "mmap", refuse)
    found = examine(tmp_path)
    once = trial(found, "a name is given once")
    assert (once.is_good, once.found) == (
        True,
        "by O_EXCL, for there are no hard links (not supported)",
    )
    for what in ("locks are held", "files are mapped into memory"):
        assert not trial(found, what).is_good
        assert "not supported" in trial(found, what).found
    assert not found.is_good_for_stores


def test_what_is_no_folder_or_may_not_be_written_to_is_refused(tmp_path):
    with pytest.raises(StoreError, match="is no folder"):
        examine(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_few_files_left_is_no_room(tmp_path, monkeypatch):
    found = os.statvfs(tmp_path)
    few = type(
        "Few", (), {"f_bavail": 1, "f_frsize": 4096, "f_files": found.f_files, "f_favail": 9}
    )
    monkeypatch.setattr(os, "statvfs", lambda _: few)
    one = trial(examine(tmp_path), "there is room")
    assert not one.is_good
    assert "9 files are free" in one.found
