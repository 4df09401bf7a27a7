"""Chunks of zarr v3 arrays, written and read without zarr: codecs bytes (or vlen-utf8) and zstd."""

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from toolkit.stages.schema import Variable
from toolkit.stores.files.limits import require_room
from toolkit.stores.files.packing import Buffer, element_dtype
from toolkit.stores.files.storage import Storage

ZSTD_LEVEL = 1  # measured: a quarter faster than zstd's own default, files 2 % larger
_FAST_LEVEL = -1  # for noise: written in half the time, read in a fifth of it, files 4 % larger
_NOISE = 0.9  # what level 1 leaves of it
_PROBED_BYTES, _SAMPLES = 1 << 18, 16  # from this size on, so many samples are looked at

Array = npt.NDArray[Any]
_zstd: dict[int, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How one array lies in a store.

    Parameters
    ----------
    key
        Path of the array in the store.
    dtype
        Type of the elements as stored; dates are int64. ``None``: text.
    chunk
        Shape of a chunk; only the first dim is cut into several.
    compressed
        Whether chunks are compressed with zstd.
    """

    key: str
    dtype: np.dtype[Any] | None
    chunk: tuple[int, ...]
    compressed: bool = True

    @property
    def fill(self) -> Any:
        """The value where nothing is stored: NaN, NaT (as int64) where said, 0 or ""."""
        if self.dtype is None:
            return ""
        return np.array(np.nan if self.dtype.kind in "fc" else 0).astype(self.dtype)[()]

    def blank(self, fill: Any = None) -> Array:
        """Return a chunk without values."""
        dtype = object if self.dtype is None else self.dtype
        return np.full(self.chunk, self.fill if fill is None else fill, dtype)


NAT = np.iinfo(np.int64).min


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which values of a numpy type are stored: dates as int64."""
    return np.dtype("<i8") if dtype.kind in "mM" else dtype.newbyteorder("<")


def stored_variable(
    variable: Variable, group: str, chunk_length: int, *, compressed: bool = True
) -> Stored:
    """Return how a fixed or text output is stored."""
    dtype = None if variable.kind == "text" else stored_dtype(element_dtype(variable))
    return Stored(
        key=join(group, array_name(variable.name)),
        dtype=dtype,
        chunk=(chunk_length, *(max(size, 1) for size in variable.shape)),
        compressed=compressed,
    )


def fill_of(variable: Variable) -> Any:
    """Return the value of a missing element, as stored."""
    if variable.kind == "text":
        return ""
    dtype = element_dtype(variable)
    if dtype.kind in "mM":
        return NAT
    return np.array(np.nan if dtype.kind in "fc" else 0).astype(dtype)[()]


def as_stored(values: Array) -> Array:
    """Return values as they are stored: dates as int64."""
    return values.view(np.int64) if values.dtype.kind in "mM" else values


def write_chunk(storage: Storage, array: Stored, number: int, values: Array, fill: Any) -> None:
    """Write one chunk, filled up to its full length where there are fewer values."""
    if len(values) < array.chunk[0]:
        full = array.blank(fill)
        full[: len(values)] = values
        values = full
    storage.put(chunk_key(array, number), encode(array, values))


def read_chunk(storage: Storage, array: Stored, number: int) -> Array | None:
    """Return one chunk at full length, None where it was never written.

    Raises
    ------
    ValueError
        If the bytes are no chunk of this array.
    """
    raw = storage.get(chunk_key(array, number))
    return None if raw is None else decode(array, raw)


def chunk_key(array: Stored, number: int) -> str:
    """Return the key of a chunk in zarr's default encoding, such as ``peak/c.3.0``.

    With dots, a chunk is one file and no folder, however many dims it has.
    """
    return f"{array.key}/c.{number}" + ".0" * (len(array.chunk) - 1)


def encode(array: Stored, values: Array) -> Buffer:
    """Return a whole chunk as zarr v3 stores it."""
    if array.dtype is None:
        raw: Buffer = _encode_text(values)
    else:
        raw = np.ascontiguousarray(values, array.dtype).reshape(-1).view(np.uint8).data
    if not array.compressed:
        return raw
    encoded: Buffer = _codec(_FAST_LEVEL if _is_noise(raw) else ZSTD_LEVEL).encode(raw)
    return encoded


def decode(array: Stored, raw: Buffer) -> Array:
    """Return the values of a chunk, shape ``array.chunk``.

    Raises
    ------
    ValueError
        If the bytes are no chunk of this array.
    StoreError
        If they say that they are larger than the memory.
    """
    count = math.prod(array.chunk)
    if array.compressed:
        _check_size(raw, None if array.dtype is None else count * array.dtype.itemsize)
        try:
            raw = _codec().decode(raw)
        except RuntimeError as error:
            raise ValueError(f"no zstd data: {error}") from error
    if array.dtype is None:
        return _decode_text(raw, count).reshape(array.chunk)
    if len(raw) != count * array.dtype.itemsize:
        raise ValueError(f"a chunk of {len(raw)} bytes, not {count * array.dtype.itemsize}")
    return np.frombuffer(raw, array.dtype).reshape(array.chunk)


def array_name(name: str) -> str:
    """Return a name that is safe as a file's: what would lead elsewhere is percent-encoded.

    Examples
    --------
    >>> array_name("peak"), array_name("a/b"), array_name("..")
    ('peak', 'a%2Fb', '%2E.')
    """
    safe = "".join(
        f"%{ord(c):02X}" if c in "/\\%\x7f" or c < " " or "\ud800" <= c <= "\udfff" else c
        for c in name
    )
    if safe.startswith((".", "__")) or safe in ("", "zarr.json", "axes"):
        safe = f"%{ord(safe[0]):02X}{safe[1:]}" if safe else "%"
    return safe


def join(group: str, name: str) -> str:
    """Return the key of an array in a group; the root group is the empty string."""
    return f"{group}/{name}" if group else name


def _codec(level: int = ZSTD_LEVEL) -> Any:
    if level not in _zstd:
        # Imported where the first chunk is written: 50 ms that a journal does not need.
        from numcodecs.zstd import Zstd  # type: ignore[import-untyped]

        # A flipped bit in a chunk is found: 4 bytes more, 3 % of the time to encode.
        _zstd[level] = Zstd(level=level, checksum=True)
    return _zstd[level]


def _is_noise(raw: Buffer) -> bool:
    """Whether a large chunk would hardly become smaller, as samples of it show.

    They lie at equal distances, so that rows which are alike show as such.
    """
    size = len(raw)
    if size < _PROBED_BYTES:
        return False
    length, step = min(1 << 12, size // 256), size // _SAMPLES
    samples = b"".join(raw[at : at + length] for at in range(0, step * _SAMPLES, step))
    return len(_codec().encode(samples)) > _NOISE * len(samples)


def _check_size(raw: Buffer, expected: int | None) -> None:
    """Refuse compressed bytes that are larger than a chunk, or do not say how large they are.

    The decoder makes room for what they say, and goes on and on where they say nothing.
    """
    if len(raw) < 6 or raw[:4] != b"\x28\xb5\x2f\xfd":
        raise ValueError("no zstd data")
    flag = raw[4] >> 6
    at = 5 + (0 if raw[4] & 32 else 1) + (0, 1, 2, 4)[raw[4] & 3]
    width = (1 if raw[4] & 32 else 0, 2, 4, 8)[flag]
    said = int.from_bytes(raw[at : at + width], "little") + (256 if flag == 1 else 0)
    if not width or len(raw) < at + width:
        raise ValueError("zstd data without their length")
    if expected is not None and said != expected:
        raise ValueError(f"a chunk of {said} bytes, not {expected}")
    require_room(said, "A chunk")


def _encode_text(values: Array) -> bytes:
    parts = [struct.pack("<I", values.size)]
    for text in values.ravel():
        raw = str(text).encode("utf-8", "replace")
        parts += [struct.pack("<I", len(raw)), raw]
    return b"".join(parts)


def _decode_text(raw: Buffer, count: int) -> Array:
    view = memoryview(raw)
    if len(view) < 4 + 4 * count or struct.unpack_from("<I", view)[0] != count:
        raise ValueError("a chunk of text of another length")
    values, at = np.empty(count, object), 4
    for index in range(count):
        if at + 4 > len(view):
            raise ValueError("a chunk of text that is cut")
        (length,) = struct.unpack_from("<I", view, at)
        if at + 4 + length > len(view):
            raise ValueError("a chunk of text that is cut")
        values[index] = str(view[at + 4 : at + 4 + length], "utf-8")
        at += 4 + length
    return values
