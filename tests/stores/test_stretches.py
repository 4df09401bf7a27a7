import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.stages.schema import Schema, Variable
from toolkit.stores.journals import record_bytes, records, scanning, single_blocks, stretches

SCHEMA = Schema(
    variables=(
        Variable(name="x", dtype="<f8"),
        Variable(name="v", dtype="<i4", dims=("t",), shape=(3,)),
    )
)


def described():
    payload = record_bytes.schema_payload("f", SCHEMA)
    return b"".join(record_bytes.record(records.SCHEMA, payload, stage=0, epoch=0, time=1.0))


def ended(run, *, attempt=1, status=1, peak=None):
    flags, payload = record_bytes.block_payload(
        None,
        np.array([status], "u1"),
        np.array([run / 7], "f4"),
        None if peak is None else np.array([peak], "f4"),
        SCHEMA,
        [np.array([run * 2.0]), np.array([[run, 1, 2]], "i4")] if status == 1 else None,
    )
    return b"".join(
        record_bytes.record(
            records.BLOCK,
            payload,
            stage=0,
            epoch=0,
            time=2.0 + run,
            attempt=attempt,
            flags=flags,
            n=1,
            lo=run,
        )
    )


def started(run, *, attempt=1):
    return b"".join(
        record_bytes.record(
            records.STARTED, stage=0, epoch=0, time=3.0 + run, attempt=attempt, n=1, lo=run
        )
    )


def told(data):
    """Return what the records say: the outcomes in their order, and what is in progress."""
    outcomes, begun = [], set()
    for record in scanning.scan(data, records.Stages()):
        if isinstance(record, records.Started):
            begun.add(record.run)
        elif isinstance(record, records.Block):
            for at, run in enumerate(record.run_ids().tolist()):
                peak = None if record.peak_memory is None else float(record.peak_memory[at])
                values = (
                    None if record.columns is None else [c[at].tolist() for c in record.columns]
                )
                outcome = (run, record.origin.attempt, int(record.status[at]), peak, values)
                outcomes.append((*outcome, float(record.seconds[at])))
                begun.discard(run)
    return outcomes, begun


def told_one_by_one(data):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(single_blocks, "read_stretch", lambda *_: None)
        return told(data)


def alternating(runs):
    runs = list(runs)
    pairs = zip(runs, [*runs[1:], None], strict=True)
    return [ended(run) + (b"" if after is None else started(after)) for run, after in pairs]


def test_a_stretch_is_one_block_with_its_values():
    runs = np.random.default_rng(0).permutation(500)
    data = described() + started(int(runs[0])) + b"".join(alternating(runs.tolist()))
    found = list(scanning.scan(data, records.Stages()))
    blocks = [record for record in found if isinstance(record, records.Block)]
    assert next(len(block.run_ids()) for block in blocks) >= 499
    assert np.concatenate([block.run_ids() for block in blocks]).tolist() == runs.tolist()
    np.testing.assert_array_equal(blocks[0].columns[0], blocks[0].run_ids() * 2.0)
    assert blocks[-1].origin.end == len(data)
    assert blocks[0].origin.time == 2.0 + blocks[0].run_ids()[-1]


pieces = st.lists(
    st.one_of(
        st.tuples(st.just("pairs"), st.integers(0, 60), st.integers(1, 120)),
        st.tuples(st.just("bare"), st.integers(0, 60), st.integers(1, 120)),
        st.tuples(st.just("failed"), st.integers(0, 60), st.integers(1, 60)),
        st.tuples(st.just("again"), st.integers(0, 60), st.integers(1, 60)),
        st.tuples(st.just("begun"), st.integers(0, 60), st.just(1)),
    ),
    max_size=6,
)


def written(piece):
    kind, first, count = piece
    runs = range(first, first + count)
    if kind == "pairs":
        return b"".join(alternating(runs))
    if kind == "begun":
        return started(first)
    changes = {"bare": {}, "failed": {"status": 2}, "again": {"attempt": 2, "peak": 5.0}}[kind]
    return b"".join(ended(run, **changes) for run in runs)


@settings(max_examples=150, deadline=None)
@given(pieces=pieces, cut=st.floats(0, 1), flip=st.none() | st.integers(0, 10**6))
def test_stretches_say_what_their_records_say(pieces, cut, flip):
    data = bytearray(described() + b"".join(map(written, pieces)))
    data = data[: max(len(described()), int(cut * len(data)))]
    if flip is not None:
        data[flip % len(data)] ^= 1 << (flip % 8)
    assert told(bytes(data)) == told_one_by_one(bytes(data))


def test_a_run_that_comes_again_keeps_its_later_outcome():
    runs = [*range(40), 5, *range(40, 90)]
    data = described() + b"".join(ended(run) for run in runs)
    assert [outcome[0] for outcome in told(data)[0]] == runs


def test_a_run_that_begins_again_is_in_progress():
    runs = list(range(64))
    data = b"".join(
        ended(run) + started(after) for run, after in zip(runs, [*runs[1:], 7], strict=True)
    )
    assert told(described() + data)[1] == {7}


def test_a_record_of_another_stage_ends_the_stretch():
    parts = [ended(run) for run in range(64)]
    foreign = bytearray(parts[50])
    foreign[18:20] = (1).to_bytes(2, "little")
    foreign[4:8] = zlib.crc32(foreign[8:]).to_bytes(4, "little")
    parts[50] = bytes(foreign)
    assert [outcome[0] for outcome in told(described() + b"".join(parts))[0]] == list(range(50))


def test_too_few_records_are_left_to_be_read_one_by_one():
    data = memoryview(b"".join(ended(run) for run in range(stretches.FEWEST - 1)))
    layout = np.dtype([("all", "u1", len(ended(0)) - records.HEADER.size)])
    assert stretches.read_stretch(data, 0, layout) is None
