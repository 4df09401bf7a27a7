"""Journals: what is written is read, and any bytes are safe to read."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.run_status import Status
from toolkit.spaces.grid import grid
from toolkit.stages.schema import RaggedColumn, Schema, Variable
from toolkit.stores.files.packing import pack, unpack
from toolkit.stores.journals import record_bytes, records, scanning
from toolkit.stores.journals.journal import PAGE, Journal, Tail, read_page, read_slots
from toolkit.stores.journals.receipt import Receipt
from toolkit.stores.journals.tails import Tails
from toolkit.stores.memory_store import MemoryStore

NUMBER = Schema(variables=(Variable(name="x", dtype="<f8"),))
MIXED = Schema(
    variables=(
        Variable(name="x", dtype="<f8", dims=("k",), shape=(2,)),
        Variable(name="word", kind="text"),
        Variable(name="spikes", kind="ragged", dtype="<i4", dims=("spike",)),
    )
)


def mixed_columns(n):
    lengths = np.arange(n)
    words = np.empty(n, object)
    words[:] = ["é" * i for i in range(n)]
    return [np.ones((n, 2)), words, RaggedColumn(lengths, np.arange(lengths.sum(), dtype="i4"))]


def block(
    ids, *, schema=NUMBER, columns=None, attempt=1, status=None, seconds=None, in_chunk=False
):
    ids = np.asarray(ids)
    n = len(ids)
    columns = [ids * 2.0] if columns is None else columns
    flags, payload = record_bytes.block_payload(
        None if n == 1 else ids,
        np.ones(n, "u1") if status is None else status,
        np.full(n, 0.5, "f4") if seconds is None else seconds,
        None,
        schema,
        None if in_chunk else columns,
    )
    flags |= records.IN_CHUNK if in_chunk else 0
    return b"".join(
        record_bytes.record(
            records.BLOCK,
            payload,
            stage=0,
            epoch=0,
            time=1.0,
            attempt=attempt,
            flags=flags,
            n=n,
            lo=ids[0],
        )
    )


def described(schema=NUMBER):
    payload = record_bytes.schema_payload("f", schema)
    return b"".join(record_bytes.record(records.SCHEMA, payload, stage=0, epoch=0, time=1.0))


def started(run):
    return b"".join(record_bytes.record(records.STARTED, stage=0, epoch=0, time=1.0, n=1, lo=run))


def scan(data):
    return list(scanning.scan(data, records.Stages()))


def folded(data, n_runs=40):
    """Return status and values after the records of a receipt are folded."""
    store = MemoryStore()
    runs = store.stage("f", create=True)
    runs.register(grid(a=np.arange(n_runs)))
    runs.set_schema(NUMBER, 8)
    runs.collect([Receipt(journal="", offset=0, records=bytes(data))])
    runs.fold(force=True)
    return runs.state.status, runs.read("x", slice(None))


@pytest.mark.parametrize("n", [0, 1, 5])
def test_columns_are_packed_and_unpacked(n):
    raw = b"".join(pack(MIXED, mixed_columns(n)))
    x, word, spikes = unpack(MIXED, n, memoryview(raw))
    assert x.shape == (n, 2)
    assert word.tolist() == ["é" * i for i in range(n)]
    assert spikes.lengths.tolist() == list(range(n))
    assert spikes.values.tolist() == list(range(sum(range(n))))


@pytest.mark.parametrize("change", [-1, 1])
def test_columns_of_another_length_are_refused(change):
    raw = b"".join(pack(MIXED, mixed_columns(4)))
    raw = raw[:change] if change < 0 else raw + b"x"
    with pytest.raises(ValueError, match="bytes"):
        unpack(MIXED, 4, memoryview(raw))


def test_a_journal_is_read_as_it_was_written(tmp_path):
    journal = Journal(str(tmp_path), "abc", 7)
    page = read_page(journal.path)
    assert page is not None
    assert (page.identity, page.epoch, page.pid) == ("abc", 7, os.getpid())
    tail = Tail(journal.path, page)
    assert list(tail.read()) == []
    journal.append([described(), started(3)])
    assert [type(r).__name__ for r in tail.read()] == ["Described", "Started"]
    journal.append([block([3, 5])])
    [found] = tail.read()
    assert found.ids.tolist() == [3, 5]
    assert found.columns[0].tolist() == [6.0, 10.0]
    assert found.origin.stage == "f"
    assert tail.offset == journal.offset == os.path.getsize(journal.path)
    journal.close()


def test_a_reading_begins_where_an_earlier_one_ended(tmp_path):
    journal = Journal(str(tmp_path), "abc", 0)
    journal.append([described(), block([1]), block([2, 4])])
    done = journal.offset
    journal.append([block([6, 9])])
    page = read_page(journal.path)
    [found] = Tail(journal.path, page, done).read()
    assert found.ids.tolist() == [6, 9]
    assert found.schema == NUMBER
    journal.close()


def test_a_journal_that_goes_between_two_looks_is_no_error(tmp_path, monkeypatch):
    folder = tmp_path / "s" / ".journal"
    folder.mkdir(parents=True)
    journal = Journal(str(folder), "identity", 1)
    journal.close()

    def read_and_lose(path):
        page = read_page(path)
        os.unlink(path)
        return page

    monkeypatch.setattr("toolkit.stores.journals.tails.read_page", read_and_lose)
    [name] = os.listdir(folder)
    tails = Tails(str(tmp_path / "s"), "identity", {name: PAGE + 100})
    assert list(tails.read()) == []
    assert tails.offsets() == {}


def test_records_longer_than_a_piece_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.stores.journals.journal._PIECE", 100)
    journal = Journal(str(tmp_path), "abc", 0)
    journal.append([described(), block([1, 3]), block(np.arange(500)[::-1]), block([2, 4])])
    found = list(Tail(journal.path, read_page(journal.path)).read())
    assert [getattr(r, "n", 0) for r in found] == [0, 2, 500, 2]
    journal.close()


def test_a_torn_tail_is_read_once_it_is_whole(tmp_path):
    journal = Journal(str(tmp_path), "abc", 0)
    record = block([3, 5])
    journal.append([described(), record[:50]])
    tail = Tail(journal.path, read_page(journal.path))
    assert len(list(tail.read())) == 1
    assert list(tail.read()) == []
    journal.append([record[50:]])
    assert [r.n for r in tail.read()] == [2]
    journal.close()


def test_the_run_in_progress_is_noted_in_the_page(tmp_path):
    journal = Journal(str(tmp_path), "abc", 0)
    slot = journal.slot(1)
    slot[1] = 4
    assert read_slots(journal.path) == []
    slot[0] = 12
    assert read_slots(journal.path) == [(12, 4)]
    slot[0] = -1
    assert read_slots(journal.path) == []
    journal.close()


def test_a_page_that_is_no_page_is_left_alone(tmp_path):
    journal = Journal(str(tmp_path), "abc", 0)
    raw = bytearray(Path(journal.path).read_bytes())
    journal.close()
    for at in (0, 5, 20):
        changed = bytearray(raw)
        changed[at] ^= 1
        (tmp_path / "x").write_bytes(changed)
        assert read_page(str(tmp_path / "x")) is None
    (tmp_path / "x").write_bytes(raw[: PAGE - 1])
    assert read_page(str(tmp_path / "x")) is None


def test_what_is_the_same_in_all_runs_is_written_once():
    lengths = {
        len(block(np.arange(n), columns=[np.zeros(n)], in_chunk=True)) - 8 * n for n in (9, 99)
    }
    assert len(lengths) == 1
    [_, found] = scan(described() + block(np.arange(9), in_chunk=True))
    assert found.status.tolist() == [1] * 9
    assert found.seconds.tolist() == [0.5] * 9
    assert found.in_chunk


def test_single_runs_are_read_as_one_block():
    data = described() + b"".join(
        started(i) + block([i], seconds=np.array([i], "f4")) for i in range(9)
    )
    [_, found, left] = scan(data + started(30))
    assert found.run_ids().tolist() == list(range(9))
    assert found.columns[0].tolist() == [2.0 * i for i in range(9)]
    assert found.seconds.tolist() == list(range(9))
    assert left.run == 30
    status, values = folded(data + block([3], attempt=2) + block([3], attempt=2) + block([12]))
    assert np.flatnonzero(status).tolist() == [*range(9), 12]
    assert values[12] == 24.0


def test_the_order_of_started_and_ended_is_kept():
    [_, _, left] = scan(described() + block([1]) + started(1))
    assert left.run == 1


batches = st.lists(
    st.tuples(
        st.lists(st.integers(0, 39), min_size=1, max_size=6, unique=True),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(batches=batches, cut=st.floats(0, 1))
def test_fold_of_any_prefix_is_consistent(batches, cut):
    data = described()
    for ids, attempt, is_done in batches:
        status = np.full(len(ids), Status.DONE if is_done else Status.FAILED, "u1")
        values = np.where(is_done, np.asarray(ids) * 2.0, np.nan)
        data += block(ids, columns=[values], attempt=attempt, status=status)
    whole, _ = folded(data)
    status, values = folded(data[: int(cut * len(data))])
    has_one = status != Status.PENDING
    assert not (has_one & (whole == Status.PENDING)).any()
    assert (whole[status == Status.DONE] == Status.DONE).all()
    done = np.flatnonzero(status == Status.DONE)
    assert values[done].tolist() == (done * 2.0).tolist()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_cuts_the_journal_there(data):
    parts = [described(), *[block([i, i + 20]) for i in range(5)]]
    raw = bytearray(b"".join(parts))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    ends = np.cumsum([len(p) for p in parts])
    whole = int((ends <= at).sum())
    assert len(scan(bytes(raw))) == whole


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_safe_to_scan(raw):
    assert scan(raw) == []
    for kind in (1, 2, 3, 4, 9):
        with_crc = signed(kind, raw)
        scan(described() + with_crc)
        scan(described(MIXED) + with_crc)


@settings(max_examples=200, deadline=None)
@given(
    raw=st.binary(max_size=100),
    n=st.integers(0, 2**32 - 1),
    flags=st.integers(0, 255),
    lo=st.integers(-(2**63), 2**63 - 1),
)
def test_a_true_checksum_makes_no_record_trusted(raw, n, flags, lo):
    for schema in (NUMBER, MIXED):
        data = described(schema) + signed(3, raw, n=n, flags=flags, lo=lo)
        for found in scan(data):
            if isinstance(found, records.Block) and found.columns is not None:
                assert found.columns[0].nbytes <= len(raw)
        folded(data)


@pytest.mark.parametrize(
    "text",
    [
        '{"stage": "f", "schema": "{}"}',
        '{"stage": 3, "schema": null}',
        "[]",
        "[" * 100_000,
        '{"stage": "f", "schema": "{\\"variables\\": [{\\"name\\": \\"x\\", '
        '\\"kind\\": \\"fixed\\", '
        '\\"dtype\\": \\"O\\", \\"dims\\": [], \\"shape\\": [], \\"attrs\\": {}}], '
        '\\"coords\\": {}, \\"attrs\\": {}}"}',
    ],
)
def test_a_hostile_schema_ends_the_scan(text):
    assert scan(signed(1, text.encode())) == []


def signed(kind, payload, *, n=1, flags=0, lo=0):
    body = struct.pack("<QBBHIIIqd", len(payload), kind, flags, 0, 1, 0, n, lo, 0.0)
    return b"TKR1" + struct.pack("<I", zlib.crc32(payload, zlib.crc32(body))) + body + payload


def test_a_full_disk_leaves_the_journal_readable(tmp_path, monkeypatch):
    journal = Journal(str(tmp_path), "abc", 0)
    journal.append([described(), block([1, 3])])
    real = os.writev

    def short(fd, buffers):
        return real(fd, [b"".join(buffers)[:30]])

    monkeypatch.setattr(os, "writev", short)
    with pytest.raises(OSError, match="No space left"):
        journal.append([block([2, 4])])
    monkeypatch.undo()
    journal.append([block([5, 7])])
    found = list(Tail(journal.path, read_page(journal.path)).read())
    assert [r.ids.tolist() for r in found[1:]] == [[1, 3], [5, 7]]
    journal.close()
