"""Requests that lie in a store are believed nothing."""

import os
import stat
from pathlib import Path

import pytest

from toolkit.errors import StoreError
from toolkit.stores.journals.control import (
    FOLDER,
    Asked,
    ask,
    is_waiting,
    read_requests,
    remove_request,
)


def put(store: Path, name: str, text: str) -> None:
    (store / FOLDER).mkdir(parents=True, exist_ok=True)
    (store / FOLDER / name).write_text(text)


def test_what_is_asked_is_read_until_it_is_removed(tmp_path: Path) -> None:
    path = str(tmp_path)
    asked = Asked(stop=True, now=True, scale={"small": 20, "large": None})
    name = ask(path, asked)
    file = tmp_path / FOLDER / f"{name}.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert os.listdir(file.parent) == [file.name]
    assert read_requests(path) == {name: asked}
    assert is_waiting(path, name)
    remove_request(path, name)
    remove_request(path, name)
    assert read_requests(path) == {}
    assert not is_waiting(path, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"stop": true}',
        '{"stop": {"now": 1}}',
        '{"scale": {"small": -1}}',
        '{"scale": {"small": true}}',
        '{"scale": {"small": 1e3}}',
        '{"scale": {"small": 10000000}}',
        '{"scale": {"a/b": 1}}',
        '{"scale": [["small", 1]]}',
        '{"stop": {"now": false}, "run": "rm -rf /"}',
        "[" * 100_000,
        '{"stop": {"now": false}}' + " " * 10_000,
    ],
)
def test_what_is_not_understood_asks_for_nothing(tmp_path: Path, text: str) -> None:
    put(tmp_path, "x.json", text)
    assert read_requests(str(tmp_path)) == {"x": None}


def test_only_plain_small_files_with_plain_names_are_read(tmp_path: Path) -> None:
    put(tmp_path, "half.tmp", '{"stop": {"now": true}}')
    put(tmp_path, ".hidden.json", '{"stop": {"now": true}}')
    folder = tmp_path / FOLDER
    (tmp_path / "elsewhere").write_text('{"stop": {"now": true}}')
    (folder / "link.json").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe.json")
    (folder / "folder.json").mkdir()
    assert read_requests(str(tmp_path)) == {"link": None, "pipe": None, "folder": None}


def test_of_many_files_few_are_read_at_a_time(tmp_path: Path) -> None:
    for number in range(100):
        put(tmp_path, f"r{number}.json", '{"stop": {"now": false}}')
    assert len(read_requests(str(tmp_path))) == 32


def test_no_folder_that_leads_out_of_the_store_is_looked_into(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    put(other, "x.json", '{"stop": {"now": true}}')
    (store / FOLDER).parent.mkdir(parents=True)
    (store / FOLDER).symlink_to(other / FOLDER)
    assert read_requests(str(store)) == {}
    remove_request(str(store), "x")
    assert (other / FOLDER / "x.json").exists()
    with pytest.raises(StoreError, match="leads out"):
        ask(str(store), Asked(stop=True))
