"""Chunks as they are written: what becomes smaller, and what would not."""

import numpy as np
import pytest

from toolkit.stores.arrays.chunks import Stored, decode, encode

N = 1 << 17  # 1 MB of float64
RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=N)


def stored(values):
    return Stored(key="x", dtype=values.dtype, chunk=values.shape)


@pytest.mark.parametrize(
    "values",
    [
        np.frombuffer(RNG.bytes(1 << 18), np.uint8),  # of a size from which samples are looked at
        np.frombuffer(RNG.bytes((1 << 20) + 7), np.uint8),
        NOISE,
        np.zeros(N),
        np.zeros(3),
    ],
)
def test_chunks_read_back_as_they_were(values):
    assert np.array_equal(decode(stored(values), encode(stored(values), values)), values)


def test_a_flipped_bit_in_noise_is_found():
    raw = bytearray(encode(stored(NOISE), NOISE))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(ValueError, match="no zstd data"):
        decode(stored(NOISE), raw)


def test_noise_is_stored_as_it_is():
    assert len(encode(stored(NOISE), NOISE)) > 0.999 * NOISE.nbytes


@pytest.mark.parametrize(
    ("values", "share"),
    [
        (np.round(NOISE, 2), 0.4),
        (np.where(np.arange(N) < N // 2, NOISE, np.nan), 0.55),  # chunks that are filled later
        (np.tile(NOISE[: N // 32], 32), 0.1),  # the same in every run
        (RNG.integers(0, 1000, N), 0.25),
    ],
)
def test_what_becomes_smaller_is_compressed(values, share):
    assert len(encode(stored(values), values)) < share * values.nbytes
