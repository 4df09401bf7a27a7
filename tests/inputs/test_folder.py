import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import toolkit as tk
from toolkit.inputs import folder, held


def files(home):
    return sorted(path.name for path in home.iterdir())


class Trap:
    """Runs a command where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def plant(home, token, content, mode=0o600):
    path = home / f"{token}.frozen"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


def content_of(value):
    """Return a well-formed file with this value, and its token."""
    from toolkit.inputs.content import lay_out, token_of
    from toolkit.inputs.pickler import pickled

    parts = pickled(value, "trap")
    layout = lay_out(parts.head, parts.buffers, parts.is_writable)
    return layout.header, token_of(layout, parts.digests)


def test_files_and_folder_are_the_users_alone(home):
    frozen = tk.freeze(np.arange(5000))
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / f"{frozen.token}.frozen").stat().st_mode & 0o777 == 0o600


def test_a_planted_file_is_replaced_and_never_unpickled(home, tmp_path):
    array = np.arange(5000)
    token = tk.freeze(array).token
    assert files(home) == []
    header, _ = content_of(Trap(tmp_path / "sprung"))
    planted = plant(home, token, header)
    inode = planted.stat().st_ino
    frozen = tk.freeze(array)
    assert planted.stat().st_ino != inode or planted.stat().st_size != len(header)
    assert np.array_equal(frozen.get(), array)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("wrong", ["hash", "length", "magic", "mode", "link", "fifo", "owner"])
def test_a_wrong_file_is_refused_by_who_would_load_it(home, wrong):
    frozen = tk.freeze(np.arange(5000.0), name="data")
    path = home / f"{frozen.token}.frozen"
    good = path.read_bytes()
    held._entries[frozen.token].claim, claim = None, held._entries[frozen.token].claim
    os.close(claim)
    if wrong == "hash":
        plant(home, frozen.token, good[:-8] + b"\0" * 7 + b"\1")
    elif wrong == "length":
        plant(home, frozen.token, good[:-64])
    elif wrong == "magic":
        plant(home, frozen.token, b"x" + good[1:])
    elif wrong == "mode":
        path.chmod(0o640)
    elif wrong == "link":
        path.rename(home.parent / "elsewhere")
        path.symlink_to(home.parent / "elsewhere")
    elif wrong == "fifo":
        path.unlink()
        os.mkfifo(path, 0o600)
    elif os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:
        pytest.skip("only root can give a file away")
    with pytest.raises(tk.FrozenError, match=r"'data' .* is not in .*no driver to fetch it from"):
        frozen.get()
    assert not path.exists()


def test_a_head_that_runs_a_command_is_refused_before_it_is_read(home, tmp_path):
    header, _ = content_of(Trap(tmp_path / "sprung"))
    token = "0" * 40
    plant(home, token, header)
    handle = tk.Frozen(token=token, identity=token, nbytes=len(header))
    with pytest.raises(tk.FrozenError):
        handle.get()
    assert not (tmp_path / "sprung").exists()
    _, token = content_of(Trap(tmp_path / "sprung"))
    plant(home, token, header)  # the trap itself works
    tk.Frozen(token=token, identity=token, nbytes=len(header)).get()
    assert (tmp_path / "sprung").exists()


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path))
    path = tmp_path / f"toolkit-frozen-{os.geteuid()}"
    if os.geteuid() == 0:
        path.mkdir(0o700)
        os.chown(path, 65534, 65534)
    else:
        path.symlink_to("/")
    with pytest.raises(tk.FrozenError, match=r"not a folder of this user's.*TOOLKIT_FROZEN_DIR"):
        tk.freeze([1])


def test_a_folder_that_others_can_read_is_closed(home):
    home.chmod(0o755)
    frozen = tk.freeze([1])
    assert home.stat().st_mode & 0o777 == 0o700
    assert frozen.get() == [1]


def test_a_place_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(folder.VARIABLE, str(tmp_path / "file"))
    with pytest.raises(tk.FrozenError, match=r"file.*Set TOOLKIT_FROZEN_DIR"):
        tk.freeze([1])


class Driver:
    """Another process that freezes an array and waits for a line before it ends."""

    def __init__(self, size):
        code = f"""
            import sys, numpy as np, toolkit as tk
            frozen = tk.freeze(np.arange({size}))
            frozen.get()
            print(frozen.token, flush=True)
            sys.stdin.readline()
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.token = self.process.stdout.readline().strip()

    def end(self, *, kill=False):
        self.process.kill() if kill else None
        self.process.communicate("" if kill else "\n", timeout=60)


def test_a_file_of_two_drivers_stays_until_the_last_is_done(home):
    one, two = Driver(5000), Driver(5000)
    mine = tk.freeze(np.arange(5000))
    assert one.token == two.token == mine.token
    one.end()
    assert files(home) == [f"{mine.token}.frozen"]
    del mine
    assert len(files(home)) == 1
    two.end()
    assert files(home) == []


def test_what_a_killed_driver_leaves_goes_with_the_next_freeze(home):
    killed, living = Driver(5000), Driver(6000)
    killed.end(kill=True)
    (home / "half-written.part").write_bytes(b"x")
    assert len(files(home)) == 3
    mine = tk.freeze(np.arange(7000))
    assert files(home) == sorted(f"{each}.frozen" for each in (living.token, mine.token))
    living.end()


def test_the_claim_of_a_killed_driver_is_void(home):
    mine, other = tk.freeze(np.arange(5000)), Driver(5000)
    other.end(kill=True)
    del mine
    assert files(home) == []
