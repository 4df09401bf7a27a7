"""Damage to stores and profiles, made with an eye for what their bytes mean."""

import json
import os
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs.zstd import Zstd

from toolkit.stores.journals.journal import _HEAD, PAGE
from toolkit.stores.journals.records import HEADER

NUMBERS = (
    -1,
    0,
    1,
    2,
    3,
    7,
    255,
    256,
    2**16,
    2**31 - 1,
    2**31,
    2**32,
    10**9,
    10**12,
    10**15,
    2**62,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64,
    10**30,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
)
TEXTS = (
    "",
    ".",
    "..",
    "../../outside",
    "/etc/passwd",
    "\x00",
    "a\x00b",
    "\n",
    "\ud800",
    "é" * 5000,
    "NaN",
    "<f8",
    "|O",
    "<M8[ns]",
    "<M8[99s]",
    "f8,f8",
    "(1000000000,)f8",
    "|V8",
    "|S9",
    "U9",
    ",",
    "run",
    "status",
    "1" * 5000,
    "\x1b[31m",
    "string",
    "float64",
    "object",
    "text",
    "ragged",
    "fixed",
)


def hostile(rng: random.Random) -> Any:
    """Return a value that JSON can hold and nobody expects."""
    kind = rng.randrange(10)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind < 7:
        return rng.choice(TEXTS)
    return rng.choice(
        [None, True, False, [], {}, [[]], [None], [0, 1], ["a"], [[0, 10**12]], {"a": 1}, [1] * 70]
    )


def mutate_json(document: Any, rng: random.Random) -> Any:
    """Return a document changed in a place or two; texts that are JSON are changed inside."""
    places = list(_places(document))
    if not places:
        return hostile(rng)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        holder, key = rng.choice(places)
        try:
            _change(holder, key, rng)
        except (KeyError, IndexError):
            continue  # an earlier change has taken it away
    return document


def _change(holder: Any, key: Any, rng: random.Random) -> None:
    value = holder[key]
    how = rng.randrange(10)
    if isinstance(value, str) and value.startswith("{") and how < 9:
        try:
            holder[key] = json.dumps(mutate_json(json.loads(value), rng))
        except (ValueError, RecursionError):
            holder[key] = hostile(rng)
    elif isinstance(value, bool) or how < 3:
        holder[key] = hostile(rng)
    elif isinstance(value, int) and how < 8:
        holder[key] = rng.choice([value + 1, value - 1, value * 2, -value, value * 10**9])
    elif how == 3:
        del holder[key]
    elif how == 4:
        other = rng.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        holder[key], holder[other] = holder[other], holder[key]
    elif isinstance(value, list) and value:
        rng.choice(
            [
                lambda: value.append(value[0]),
                lambda: value.pop(),
                lambda: rng.shuffle(value),
                lambda: value.extend(value * rng.choice([1, 1000])),
            ]
        )()
    elif isinstance(value, dict) and value:
        first = rng.choice(list(value))
        value[str(hostile(rng))] = value[first]
    else:
        holder[key] = hostile(rng)


def _places(document: Any, depth: int = 0) -> Any:
    if depth > 30:
        return
    if isinstance(document, dict):
        for key, value in document.items():
            yield document, key
            yield from _places(value, depth + 1)
    elif isinstance(document, list):
        for at, value in enumerate(document[:50]):
            yield document, at
            yield from _places(value, depth + 1)


def mutate_bytes(raw: bytes, rng: random.Random) -> bytes:
    """Return bytes cut, flipped, doubled or put in the place of others."""
    data = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 8])):
        at = rng.randrange(len(data) + 1)
        how = rng.randrange(6)
        if how == 0:
            del data[at:]
        elif how == 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif how == 2:
            data[at:at] = rng.randbytes(rng.randrange(40))
        elif how == 3:
            data[at : at + 8] = struct.pack("<q", _word(rng))
        elif how == 4:
            end = rng.randrange(len(data) + 1)
            data[at:at] = data[min(at, end) : max(at, end)][:10_000]
        else:
            del data[at : at + rng.randrange(60)]
    return bytes(data)


def mutate_chunk(raw: bytes, rng: random.Random) -> bytes:
    """Return a chunk whose values are others, or whose compressed bytes lie about their size."""
    how = rng.randrange(6)
    if how == 0:
        return mutate_bytes(raw, rng)
    if how == 1:
        return zstd_bomb(rng.choice([10**6, 10**9, 2**40]), rng.choice([0, 10, 3000]))
    if how == 2:
        return rng.choice([b"", b"\x28\xb5\x2f\xfd", raw[:9], raw + raw])
    try:
        values = bytearray(Zstd().decode(raw))
    except Exception:  # noqa: BLE001 - not compressed
        return mutate_bytes(raw, rng)
    if how == 3 or len(values) < 8:
        return bytes(Zstd().encode(mutate_bytes(bytes(values), rng)))
    words = rng.choice(["<i8", "<u1", "<f8", "<i4"])
    size = np.dtype(words).itemsize
    with np.errstate(all="ignore"):
        array = np.frombuffer(values[: len(values) // size * size], words).copy()
        for _ in range(rng.choice([1, 5, 500])):
            array[rng.randrange(min(len(array), 200))] = np.array(_word(rng)).astype(words)
    values[: array.nbytes] = array.tobytes()
    return bytes(Zstd().encode(bytes(values)))


def zstd_bomb(said: int, blocks: int) -> bytes:
    """Return a zstd frame that says a size and unfolds by 128 kB for each 4 bytes of it."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0b11100000]) + struct.pack("<Q", said)
    block = ((128 << 10) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    return frame + block * blocks + ((1 << 3) | 1 << 1 | 1).to_bytes(3, "little") + b"\0"


_LARGEST = 1 << 26  # a sparse file that an earlier mutation made is left as it is


def _word(rng: random.Random) -> int:
    number = rng.choice([n for n in NUMBERS if isinstance(n, int)])
    return (number + 2**63) % 2**64 - 2**63


def mutate_journal(raw: bytes, rng: random.Random) -> bytes:
    """Return a journal with records changed and signed again, so that their content is read."""
    if rng.randrange(5) == 0:
        return mutate_bytes(raw, rng)
    page, body = raw[:PAGE], raw[PAGE:]
    records = _records(body)
    if rng.randrange(8) == 0:
        page = _mutated_page(page, rng)
    for _ in range(rng.choice([1, 1, 2, 5])):
        if not records:
            break
        at = rng.randrange(len(records))
        how = rng.randrange(8)
        if how == 0:
            records.insert(at, records[rng.randrange(len(records))])
        elif how == 1:
            del records[at]
        elif how == 2:
            rng.shuffle(records)
        else:
            records[at] = _mutated_record(records[at], rng)
    return page + b"".join(records)


def signed(fields: list[Any], payload: bytes) -> bytes:
    """Return a record with its length and its CRC put right."""
    fields = list(fields)
    fields[2] = len(payload)
    body = HEADER.pack(*fields)[8:]
    return fields[0] + zlib.crc32(payload, zlib.crc32(body)).to_bytes(4, "little") + body + payload


def _records(body: bytes) -> list[bytes]:
    found, at = [], 0
    while at + HEADER.size <= len(body):
        length = HEADER.unpack_from(body, at)[2]
        found.append(body[at : at + HEADER.size + length])
        at += HEADER.size + length
    return found


def _mutated_record(record: bytes, rng: random.Random) -> bytes:
    fields = list(HEADER.unpack_from(record))
    payload = record[HEADER.size :]
    how = rng.randrange(4)
    if how == 0 and payload[:1] in (b"{", b"["):
        try:
            payload = json.dumps(mutate_json(json.loads(payload), rng)).encode("utf-8", "replace")
        except (ValueError, RecursionError):  # damaged before
            payload = mutate_bytes(payload, rng)
    elif how <= 1:
        payload = mutate_bytes(payload, rng)
    else:
        at = rng.randrange(3, 11)
        limit = {3: 8, 4: 8, 5: 16, 6: 32, 7: 32, 8: 32}.get(at)
        if limit is not None:
            fields[at] = rng.choice([fields[at] ^ 1 << rng.randrange(limit), _word(rng)]) % 2**limit
            if at == 8:
                fields[at] = rng.choice([0, 1, 2, fields[at], 2**32 - 1, 10**9])
        else:
            fields[at] = _word(rng) if at == 9 else rng.choice([0.0, float("nan"), -1e300])
    if rng.randrange(20) == 0:
        payload = b"[" * 100_000
    return signed(fields, payload)


def _mutated_page(page: bytes, rng: random.Random) -> bytes:
    head = bytearray(page[: _HEAD.size])
    head[rng.randrange(len(head))] ^= 1 << rng.randrange(8)
    rest = bytearray(page[_HEAD.size + 4 :])
    for _ in range(20 if rest else 0):
        rest[rng.randrange(len(rest))] = rng.randrange(256)
    return bytes(head) + zlib.crc32(bytes(head)).to_bytes(4, "little") + bytes(rest)


def mutate_store(store: Path, rng: random.Random, only: str = "") -> str:
    """Damage a store on disk; return what was done."""
    done = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        files = sorted(
            path for path in store.rglob("*") if path.is_file() and not path.is_symlink()
        )
        files = [path for path in files if path.suffix == only] if only else files
        files = [path for path in files if path.stat().st_size < _LARGEST]
        if not files:
            break
        documents = [path for path in files if path.name == "zarr.json" and path.parent == store]
        path = rng.choice(documents) if documents and rng.randrange(2) else rng.choice(files)
        done.append(f"{path.relative_to(store)}: {_mutate_file(store, path, rng)}")
    return "; ".join(done)


def _mutate_file(store: Path, path: Path, rng: random.Random) -> str:
    if rng.randrange(25) == 0:
        return _mutate_folder(store, path, rng)
    raw = path.read_bytes()
    how: Callable[[bytes, random.Random], bytes] = mutate_bytes
    if path.suffix == ".journal":
        how = mutate_journal
    elif path.suffix in (".json", ".jsonl") and rng.randrange(8):
        how = _mutate_document
    elif path.name.startswith("c."):
        how = mutate_chunk
    path.write_bytes(how(raw, rng))
    return how.__name__


def _mutate_document(raw: bytes, rng: random.Random) -> bytes:
    if rng.randrange(40) == 0:
        return rng.choice([b"[" * 100_000, b'{"a":' * 100_000, b"1" * 10_000, b"\xff\xfe", b"null"])
    lines = raw.splitlines() or [b"{}"]
    at = rng.randrange(len(lines))
    try:
        lines[at] = json.dumps(mutate_json(json.loads(lines[at]), rng)).encode()
    except (ValueError, RecursionError):
        return mutate_bytes(raw, rng)
    return b"\n".join(lines)


def _mutate_folder(store: Path, path: Path, rng: random.Random) -> str:
    how = rng.choice(["delete", "folder", "link", "device", "pipe", "linked folder", "sparse"])
    if how == "linked folder":
        folder = path.parent
        if folder != store:
            shutil.rmtree(folder)
            folder.symlink_to(rng.choice(["/etc", "/dev", str(store), "nowhere"]))
        return how
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how == "link":
        path.symlink_to(rng.choice(["/etc/passwd", "zarr.json", "nowhere", path.name]))
    elif how == "device":
        path.symlink_to("/dev/zero")
    elif how == "pipe":
        os.mkfifo(path)
    elif how == "sparse":
        with path.open("wb") as file:
            file.truncate(10**12)
    return how


PROFILE = """
kind: local
dashboard: 127.0.0.1:8787
workers:
  cpu: &cpu {count: 2, threads: 1, memory: 2GB}
  gpu: {count: 1, memory: auto, resources: {GPU: 1}}
"""
QUEUE_PROFILE = """
kind: slurm
account: ${NO_SUCH_VARIABLE:-m1}
prologue: [date]
memory_flag: mem-per-cpu
tiers:
  small: &cpu {memory: 4GB, walltime: 90min, cores: 4, maximum: 9}
  gpu: {memory: 8GB, walltime: "1:30:00", gpus: 1, partition: gpu, directives: [--exclusive]}
"""
PIECES = (
    "kind: local",
    "kind: sge",
    "account: ${",
    "account: ${NO_SUCH_VARIABLE}",
    "queue: ${A:-${B}}",
    "tiers: {a: &c {<<: *c}}",
    "cores: '9" + "9" * 5000 + "'",
    "walltime: 1:30:00",
    "walltime: 9" + "9" * 400 + "h",
    "security: none",
    "directives: {a: b}",
    "workers:",
    "  cpu: {count: 1}",
    "&a [*a]",
    "*a",
    "<<: *cpu",
    "!!python/object:os.system",
    "!!python/object/apply:os.system ['true']",
    "!!binary x",
    "!!int 'x'",
    "!!float 'x'",
    "2024-99-99",
    "!!set {a}",
    "1:99:99",
    "0x",
    "0b2",
    "1e999",
    ".nan",
    "? [a]",
    "- - - -",
    "{" * 2000,
    "[" * 5000,
    "\t",
    "%YAML 9.9",
    "---",
    "...",
    "count: 1000000000",
    "count: -1",
    "memory: 1" + "0" * 5000,
    "memory: 1e999GB",
    "threads: 1e9",
    "\x00",
    "\ufeff",
    "dashboard: ':'",
    "dashboard: 0.0.0.0:x",
    "null: null",
    "workers: {1: {}}",
    "workers: []",
    "workers: {a: null}",
    "1" * 5000,
    "'" + "x" * 10000 + "'",
    "&b {<<: [*b]}",
)


def mutate_profile(rng: random.Random) -> bytes:
    """Return the bytes of a YAML file that somebody might call a profile."""
    lines = rng.choice([PROFILE, QUEUE_PROFILE]).splitlines()
    for _ in range(rng.choice([1, 2, 4])):
        at = rng.randrange(len(lines))
        how = rng.randrange(5)
        if how == 0:
            lines[at] = rng.choice(PIECES)
        elif how == 1:
            lines.insert(at, " " * rng.randrange(5) + rng.choice(PIECES))
        elif how == 2:
            key, colon, _ = lines[at].partition(":")
            lines[at] = f"{key}{colon} {rng.choice([*PIECES, *map(str, NUMBERS), *TEXTS])}"
        elif how == 3:
            lines[at] = mutate_bytes(lines[at].encode("utf-8", "surrogatepass"), rng).decode(
                "utf-8", "replace"
            )
        else:
            del lines[at]
        if not lines:
            break
    raw = "\n".join(lines).encode("utf-8", "surrogatepass")
    return mutate_bytes(raw, rng) if rng.randrange(4) == 0 else raw
