"""Nothing in a store leads out of it, and files have the modes that they should."""

import contextlib
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

import toolkit as tk
from tests.trust.readers import read_store, write_store
from toolkit.stores.files.storage import Folder, write_file
from toolkit.stores.zarr_store import ZarrStore

STUDY_SIZE = 4


def edit(path: Path, change) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "key",
    ["../out", "/tmp/out", "a/../../out", "..", ".", "a//b", "", ".journal/x", "a\\b", "a\0b"],
)
def test_a_key_that_leads_out_is_refused(specimen, key: str) -> None:
    path = specimen("folded")

    def change(document):
        inside = document["consolidated_metadata"]["metadata"]
        inside[key] = inside["peak"]

    edit(path / "zarr.json", change)
    with pytest.raises(tk.ToolkitError, match=r"zarr\.json: an array under"):
        tk.open(path)


@pytest.mark.parametrize("key", ["../../out", "/tmp/out", ".journal"])
def test_a_stage_whose_group_leads_out_is_refused(specimen, key: str) -> None:
    path = specimen("staged")

    def change(document):
        document["attributes"]["toolkit"]["stages"][1]["group"] = key

    edit(path / "zarr.json", change)
    with pytest.raises(tk.ToolkitError, match=r"metadata of store .* is damaged"):
        tk.open(path)


@pytest.mark.parametrize("key", ["../../out", "/tmp/out", ".journal"])
def test_labels_whose_array_leads_out_are_refused(specimen, tmp_path: Path, key: str) -> None:
    path = specimen("folded")

    def change(document):
        arrays = document["attributes"]["toolkit"]["catalogue"]["arrays"]
        arrays[next(iter(arrays))] = key

    edit(path / "zarr.json", change)
    with pytest.raises(tk.ToolkitError, match="does not fit together"):
        tk.open(path)


def test_an_exchange_that_was_left_half_done_cannot_lead_out(specimen, tmp_path: Path) -> None:
    path = specimen("folded")
    (tmp_path / "out").mkdir()
    (path / ".journal/swap.json").write_text(json.dumps({"key": "../out", "document": {}}))
    with pytest.raises(tk.ToolkitError, match=r"swap\.json .* is damaged"):
        write_store(path)
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("zarr.json", "link"),
        ("peak/c.0", "link"),
        ("peak/c.0", "folder link"),
        ("axes/beta/c.0", "link"),
        ("axes/beta/c.0", "folder link"),
    ],
)
def test_a_link_that_leads_out_is_not_followed(
    specimen, tmp_path: Path, name: str, kind: str
) -> None:
    path = specimen("folded")
    out = tmp_path / "out"
    out.mkdir()
    file = path / name
    moved = file if kind == "link" else file.parent
    moved.rename(out / moved.name)
    moved.symlink_to(out / moved.name)
    with pytest.raises(tk.ToolkitError, match=r"leads out of it .*cp -rL"):
        tk.open(path).load()


def test_a_link_that_stays_inside_and_a_link_to_a_store_are_followed(
    specimen, tmp_path: Path
) -> None:
    path = specimen("folded")
    before = tk.open(path).load()
    (path / "peak/c.0").rename(path / "peak/values")
    (path / "peak/c.0").symlink_to("values")
    (tmp_path / "link.zarr").symlink_to(path)
    assert (
        tk.open(tmp_path / "link.zarr")
        .load()
        .identical(before.assign_attrs(store=str(tmp_path / "link.zarr")))
    )


@pytest.mark.parametrize("name", ["peak/c.0", "zarr.json", ".journal/epoch.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to itself", "endless file"])
def test_what_is_no_plain_file_is_neither_waited_for_nor_read(
    specimen, name: str, kind: str, little_room
) -> None:
    path = specimen("folded")
    file = path / name
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    elif kind == "link to itself":
        file.symlink_to(file.name)
    else:
        with file.open("wb") as opened:
            opened.truncate(10**12)
    if name.startswith("."):
        tk.open(path)  # a reader needs no turn
        return
    with pytest.raises(tk.ToolkitError):
        tk.open(path).load()


@pytest.mark.parametrize(
    "name", ["failures.jsonl", "fold.json", "lock.json", "host-1-0.journal", "epoch.json"]
)
def test_no_file_of_the_journal_folder_is_reached_through_a_link(
    specimen, tmp_path: Path, name: str
) -> None:
    path = specimen("journalled")
    target = tmp_path / "precious"
    target.write_text("precious\n")
    file = path / ".journal" / name
    file.unlink(missing_ok=True)
    file.symlink_to(target)
    read_store(path)
    with contextlib.suppress(tk.ToolkitError):
        write_store(path)
    assert target.read_text() == "precious\n"


def test_a_journal_folder_that_is_a_link_is_refused(specimen, tmp_path: Path) -> None:
    path = specimen("journalled")
    (path / ".journal").rename(tmp_path / "out")
    old = tmp_path / "out" / "mine.tmp"
    old.write_text("keep")
    os.utime(old, (0, 0))
    (path / ".journal").symlink_to(tmp_path / "out")
    for use in (tk.open, tk.status, tk.failures, write_store):
        with pytest.raises(tk.ToolkitError, match="leads out of it"):
            use(path)
    assert old.exists()


def test_a_run_does_not_write_through_a_folder_that_is_a_link(tmp_path: Path) -> None:
    def peak(a):
        return float(a)

    path, out = tmp_path / "s.zarr", tmp_path / "out"
    out.mkdir()
    tk.Sweep(peak, tk.grid(a=[1]), store=path).run(progress=False)
    for name in ("later", "axes/b", "b"):
        (path / name).symlink_to(out)

    def later(a, b):
        return float(a + b)

    with pytest.raises(tk.ToolkitError, match="leads out of it"):
        tk.Sweep([peak, later], tk.grid(a=[1], b=range(3)), store=path).run(progress=False)
    assert list(out.iterdir()) == []


def test_deleting_and_replacing_stay_inside(tmp_path: Path) -> None:
    store, out = tmp_path / "store", tmp_path / "out"
    (store / ".journal").mkdir(parents=True)
    (out / "deep").mkdir(parents=True)
    (store / "link").symlink_to(out)
    folder = Folder(str(store))
    folder.delete_tree("link")
    for act in (
        lambda: folder.delete_tree("link/deep"),
        lambda: folder.replace_tree("link/deep", "link/deep"),
        lambda: folder.put("link/file", b"x"),
        lambda: folder.names("link"),
        lambda: write_file(str(store), "link/file", b"x"),
        lambda: folder.get("link/file"),
    ):
        with pytest.raises(tk.ToolkitError, match="leads out of it"):
            act()
    assert [path.name for path in out.rglob("*")] == ["deep"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_a_store_has_the_modes_that_the_umask_says(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = tmp_path / "s.zarr"

        def f(a):
            if a == 2:
                raise ValueError("no")
            return {"x": float(a), "o": {a}}

        tk.Sweep(f, tk.grid(a=range(STUDY_SIZE)), store=path).run(progress=False)
    finally:
        os.umask(before)
    found = [entry for entry in [path, *path.rglob("*")] if entry.suffix != ".tmp"]
    assert len(found) > 20
    for entry in found:
        wanted = (0o777 if entry.is_dir() else 0o666) & ~umask
        assert stat.S_IMODE(entry.stat().st_mode) == wanted, entry


def test_frozen_inputs_are_for_their_user_alone(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TOOLKIT_FROZEN_DIR", str(tmp_path))
    before = os.umask(0)
    try:
        frozen = tk.freeze(np.arange(1000))
    finally:
        os.umask(before)
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]
    del frozen


@pytest.mark.parametrize("name", ["events.jsonl", "run_logs.jsonl", "failures.jsonl"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_the_logs_of_a_store_are_not_reached_through_links_nor_waited_for(
    specimen, tmp_path: Path, name: str, kind: str
) -> None:
    def f(x):
        print(x)  # noqa: T201
        if x == 2:
            raise ValueError("no")
        return x

    path, out = tmp_path / "s.zarr", tmp_path / "secret"
    sweep = tk.Sweep(f, {"x": [1, 2]}, store=path)
    sweep.run(progress=False)
    out.write_text("mine")
    log = path / ".journal" / name
    log.unlink()
    if kind == "link":
        log.symlink_to(out)
    else:
        os.mkfifo(log)
    for look in (
        lambda: list(ZarrStore.read(path).events.read()),
        lambda: tk.log_of(path, run=1),
        lambda: tk.failures(path),
        lambda: tk.check(path),
        lambda: sweep.extend(x=[2, 3]).retry(),
    ):
        with contextlib.suppress(tk.ToolkitError):
            look()
    assert out.read_text() == "mine"


def test_a_log_without_line_ends_is_read_in_bounds(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    tk.Sweep(lambda x: x, {"x": [1]}, store=path).run(progress=False)
    with (path / ".journal/events.jsonl").open("r+b") as file:
        file.truncate(10**12)
        file.seek(0, os.SEEK_END)
        file.write(b'\n{"event": "last", "version": 1}\n')
    assert [each["event"] for each in ZarrStore.read(path).events.read()] == ["last"]
