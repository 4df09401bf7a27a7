"""What a store claims costs neither memory nor time before it is shown to be so."""

import contextlib
import itertools
import json
import random
import struct
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numcodecs.zstd import Zstd

import toolkit as tk
from tests.trust.mutations import signed, zstd_bomb
from tests.trust.readers import read_store, write_store
from toolkit.stages.schema import Schema
from toolkit.stores.arrays.chunks import Stored, decode
from toolkit.stores.files import limits
from toolkit.stores.files.storage import Folder
from toolkit.stores.journals import records, scanning
from toolkit.stores.journals.journal import PAGE

HUGE = (10**9, 10**15, 2**63)
DEEP = b'{"a":' * 100_000


@pytest.fixture
def frugal(little_room):
    """Fail a test in which more memory was allocated than it says is available."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * little_room


def edit(path: Path, change) -> None:
    file = path / "zarr.json"
    document = json.loads(file.read_text())
    inside = document["consolidated_metadata"]["metadata"]
    change(document["attributes"]["toolkit"], inside)
    file.write_text(json.dumps(document))


def claim_shape(key):
    def change(_, inside, size):
        inside[key]["shape"][0] = size

    return change


def claim_chunks(key):
    def change(_, inside, size):
        inside[key]["chunk_grid"]["configuration"]["chunk_shape"][0] = size

    return change


def claim_runs(ours, inside, size):
    structure = ours["catalogue"]["structure"]
    structure["dims"][0]["size"] = size
    structure["blocks"][0]["box"][0] = [0, size]


def claim_runs_with_labels(ours, inside, size):
    claim_runs(ours, inside, size)
    stored = ours["catalogue"]["structure"]["dims"][0]["columns"][0]["labels"]
    inside[f"axes/{ours['catalogue']['arrays'][stored]}"]["shape"] = [size]
    for document in inside.values():
        if document["node_type"] == "array" and document["dimension_names"][0] == "run":
            document["shape"][0] = size


def claim_blocks(ours, inside, size):
    structure = ours["catalogue"]["structure"]
    [block] = structure["blocks"]
    structure["blocks"] = [block | {"start": 24 * n} for n in range(size)]


CLAIMS = {
    "status": claim_shape("status"),
    "an output": claim_shape("peak"),
    "labels": claim_shape("axes/beta"),
    "starts": claim_shape("spikes.start"),
    "chunks of status": claim_chunks("status"),
    "chunks of text": claim_chunks("word"),
    "runs": claim_runs,
    "runs with labels": claim_runs_with_labels,
}


@pytest.mark.parametrize(("what", "size"), [*itertools.product(CLAIMS, HUGE), ("blocks", 2000)])
def test_a_claim_to_be_huge_is_refused_or_costs_nothing(
    specimen, frugal, what: str, size: int
) -> None:
    path = specimen("folded")
    edit(path, lambda ours, inside: ({**CLAIMS, "blocks": claim_blocks})[what](ours, inside, size))
    begin = time.process_time()
    read_store(path, random.Random(0))
    with contextlib.suppress(tk.ToolkitError):
        write_store(path)
    if what == "status":
        with contextlib.suppress(tk.ToolkitError):
            tk.check(path)
    assert time.process_time() - begin < 60


def test_of_a_million_chunks_those_that_are_there_are_read(tmp_path: Path, monkeypatch) -> None:
    def f(a):
        return float(a)

    path = tmp_path / "s.zarr"
    tk.Sweep(f, tk.grid(a=range(4)), store=path).run(progress=False)

    def change(ours, inside):
        inside["f"]["shape"][0] = 1_000_000
        inside["f"]["chunk_grid"]["configuration"]["chunk_shape"] = [1]
        ours["chunk_length"] = 1

    edit(path, change)
    (path / "f/c.0").write_bytes(Zstd().encode(np.array([7.0])))
    asked = []
    get = Folder.get
    monkeypatch.setattr(Folder, "get", lambda self, key: asked.append(key) or get(self, key))
    from toolkit.stores.zarr_store import ZarrStore

    values = ZarrStore.read(path).hierarchy.read("f", 0, 1_000_000)
    assert values[0] == 7.0
    assert np.isnan(values[1:]).all()
    assert len(asked) < 20


@pytest.mark.parametrize("said", [10**6, 10**9, 2**40, 2**63])
@pytest.mark.parametrize("dtype", ["<f8", None])
def test_a_compressed_bomb_is_not_unfolded(frugal, said: int, dtype: str | None) -> None:
    bomb = zstd_bomb(said, 3000)  # 393 MB in 12 kB
    array = Stored(key="x", dtype=None if dtype is None else np.dtype(dtype), chunk=(8,))
    with pytest.raises((ValueError, tk.ToolkitError)):
        decode(array, bomb)
    endless = b"\x28\xb5\x2f\xfd\x00\x58" + bomb[13:]  # says no size at all
    with pytest.raises(ValueError, match="without their length"):
        decode(array, endless)


def test_a_chunk_as_large_as_its_metadata_says_is_weighed_first(frugal) -> None:
    size = 1 << 30
    with pytest.raises(tk.ToolkitError, match=r"would take 1\.1 GB of memory, and 0\.0 GB"):
        decode(Stored(key="x", dtype=np.dtype("u1"), chunk=(size,)), zstd_bomb(size, 8192))


@pytest.mark.parametrize(
    "name",
    [
        "zarr.json",
        ".journal/fold.json",
        ".journal/epoch.json",
        ".journal/lock.json",
        ".journal/failures.jsonl",
    ],
)
@pytest.mark.parametrize(
    "raw",
    [
        DEEP,
        b"[" * 100_000,
        b"1" * 10_000,
        b"Infinity",
        b"\xff\xfe",
        b"",
        b"null",
        b'{"epoch": 1e999, "identity": 1}',
    ],
)
def test_documents_that_no_parser_likes_are_damage(specimen, name: str, raw: bytes) -> None:
    path = specimen("journalled")
    (path / name).write_bytes(raw)
    errors = read_store(path, random.Random(0))
    assert bool(errors) == (name == "zarr.json")


def test_a_marker_beyond_the_end_of_a_journal_is_no_endless_way(specimen) -> None:
    path = specimen("journalled")
    journals = [file.name for file in (path / ".journal").glob("*.journal")]
    marker = {"sir": {"offsets": dict.fromkeys(journals, 2**61), "parameters": {}}}
    (path / ".journal/fold.json").write_text(json.dumps({"epoch": 1, "stages": marker}))
    assert read_store(path) == []


@pytest.mark.parametrize("dtype", [",", "1" * 5000 + ",f4", "(((", "f4,f4", 7])
def test_a_type_of_labels_that_only_a_parser_understands_is_refused(specimen, dtype) -> None:
    path = specimen("folded")
    raw = (path / "zarr.json").read_text()
    assert '"dtype":"<f8"' in raw
    (path / "zarr.json").write_text(raw.replace('"dtype":"<f8"', f'"dtype":{json.dumps(dtype)}'))
    with pytest.raises(tk.ToolkitError):
        tk.open(path)


def test_a_status_that_there_is_not_reads_as_pending(specimen) -> None:
    path = specimen("folded")
    before = tk.status(path)
    _patched(path, "status", np.array([240], np.uint8))
    assert read_store(path) == []
    after = tk.status(path)
    assert int(after.pending.sum()) == int(before.pending.sum()) + 1
    assert int(after.done.sum()) == int(before.done.sum()) - 1


def test_a_line_of_a_terabyte_among_the_failures_is_refused(specimen, frugal) -> None:
    path = specimen("journalled")
    with open(path / ".journal" / "failures.jsonl", "a") as file:
        file.truncate(10**12)
    with pytest.raises(tk.ToolkitError, match=r"failures\.jsonl of store .* delete it"):
        tk.failures(path)
    (path / ".journal" / "failures.jsonl").unlink()
    assert read_store(path) == []


def test_a_marker_of_a_terabyte_is_not_read(specimen, frugal) -> None:
    path = specimen("journalled")
    with open(path / ".journal" / "fold.json", "w") as file:
        file.truncate(10**12)
    with pytest.raises(tk.ToolkitError, match=r"fold.json of store .* GB of memory"):
        tk.status(path)


def _journal(path: Path) -> tuple[Path, bytes]:
    file = max((path / ".journal").glob("*.journal"), key=lambda file: file.stat().st_size)
    return file, file.read_bytes()


def _block(n: int, lo: int, payload: bytes, flags: int) -> bytes:
    return signed([records.MAGIC, 0, 0, records.BLOCK, flags, 0, 1, 1, n, lo, 0.0], payload)


@pytest.mark.parametrize("n", [10**9, 2**32 - 1])
@pytest.mark.parametrize("lo", [0, 5, -1, 2**62])
def test_six_bytes_for_a_billion_runs_are_dropped(specimen, frugal, n: int, lo: int) -> None:
    path = specimen("journalled")
    file, raw = _journal(path)
    before = tk.status(path)
    started = signed([records.MAGIC, 0, 0, records.STARTED, 0, 0, 1, 1, 1, 40, 0.0], b"")
    flags = records.ONE_STATUS | records.ONE_SECONDS
    file.write_bytes(raw + started + _block(n, lo, struct.pack("<Bf", 1, 0.5), flags))
    assert tk.status(path).equals(before)
    write_store(path)


@pytest.mark.parametrize("shape", [["ab"], [[0]], [-1, -1], [2.5], [True], "ab", None, [10**30]])
@pytest.mark.parametrize("kind", ["fixed", "text", "ragged", "object"])
def test_a_schema_whose_sizes_are_none_ends_the_reading_of_a_journal(
    frugal, shape: object, kind: str
) -> None:
    variable = {
        "name": "x",
        "kind": kind,
        "dtype": "<f8",
        "dims": ["d"],
        "shape": shape,
        "attrs": {},
    }
    text = json.dumps({"variables": [variable], "coords": {}, "attrs": {}})
    payload = json.dumps({"stage": "sir", "schema": text}).encode()
    head = [records.MAGIC, 0, 0, records.SCHEMA, 0, 0, 0, 0, 0, 0, 0.0]
    flags = records.ONE_STATUS | records.ONE_SECONDS | records.COLUMNS
    block = _block(2**32 - 1, 0, struct.pack("<Bf", 1, 0.5), flags)
    assert list(scanning.scan(signed(head, payload) + block, records.Stages())) == []


def test_labels_of_very_different_lengths_do_not_become_a_wide_array(frugal) -> None:
    labels = ["x" * 1_000_000, *[""] * 10_000]
    coord = {"dims": ["d"], "attrs": {}, "shape": [len(labels)], "text": labels}
    with pytest.raises(ValueError, match="too long"):
        Schema.from_json(json.dumps({"variables": [], "coords": {"d": coord}, "attrs": {}}))


def _patched(path: Path, key: str, values: np.ndarray) -> None:
    file = path / key / "c.0"
    chunk = np.frombuffer(Zstd().decode(file.read_bytes()), values.dtype).copy()
    chunk[: len(values)] = values
    file.write_bytes(Zstd().encode(chunk))


@pytest.mark.parametrize("length", [-1, 10**9, 10**15, 2**62])
def test_ragged_lengths_that_no_array_has_are_refused(specimen, frugal, length: int) -> None:
    path = specimen("folded")
    _patched(path, "spikes.length", np.array([length, length]))
    with pytest.raises(tk.ToolkitError):
        tk.open(path).load()


def test_the_memory_that_is_there_is_known() -> None:
    assert 1 << 20 < limits.room() <= 1 << 60
    limits.require_room(1 << 20, "A little")
    with pytest.raises(tk.ToolkitError, match=r"^Too much would take 1,000,000,000\.0 GB"):
        limits.require_room(10**18, "Too much")


def test_failures_of_any_shape_are_shown(specimen) -> None:
    path = specimen("folded")
    rng = random.Random(1)
    values = [None, 3, "x", [], {}, 1e999, "\ud800", True, -1, 10**30, ["a"] * 3]
    with (path / ".journal/failures.jsonl").open("a") as file:
        for run in (1, 2, 20, -5, 10**9, "1", None, True, 1.0):
            line = {"stage": "sir", "run": run} | {
                name: rng.choice(values)
                for name in (
                    "exception",
                    "message",
                    "traceback",
                    "host",
                    "attempt",
                    "time",
                    "log",
                    "tier",
                    "exit_code",
                )
            }
            file.write(json.dumps(line) + "\n")
    assert read_store(path) == []
    found = tk.failures(path)
    assert sorted(found.run) == [1, 2, 20]
    assert all(isinstance(text, str) for text in found.message)


def test_a_page_that_is_signed_and_wrong_is_left_alone(specimen) -> None:
    path = specimen("journalled")
    file, raw = _journal(path)
    head = bytearray(raw[:PAGE])
    head[512:] = struct.pack("<qq", 10**15, 10**15) * 224
    file.write_bytes(bytes(head) + raw[PAGE:])
    assert read_store(path) == []
