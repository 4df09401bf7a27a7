"""Random numbers that are a function of a seed and an index: no state, no order, no batch.

Philox4x32-10 of J. Salmon, M. Moraes, R. Dror and D. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC '11. Numpy and torch go through the same integer and correctly rounded floating-point
operations, so that they agree to the last bit; torch is not imported here, its tensors bring it.
"""

import hashlib
import math
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from toolkit.errors import StageError
from toolkit.stages.normal_quantile import normal_quantile

Numbers: TypeAlias = Any  # an int, an array or a tensor
Shape: TypeAlias = int | Sequence[int]

_WORD = 0xFFFFFFFF
_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_CACHED = 8192  # draws at once that stay in a core's cache
_MOST = 2**32


def draws(seed: Numbers) -> "Draws":
    """Return the random numbers of a run, or of many runs at once.

    Parameters
    ----------
    seed
        ``run_seed`` as it arrives: an int, an int64 array ``(n_runs,)`` in a vectorized stage, a
        tensor in a torch stage. The numbers are arrays or tensors accordingly.

    Raises
    ------
    StageError
        If the seed is not of whole numbers.

    Examples
    --------
    >>> float(draws(7).uniform("start"))
    0.4689667020789645
    >>> many = draws(np.array([7, 8, 9]))
    >>> many.normal("weights", (4, 2)).shape
    (3, 4, 2)
    """
    return Draws(seed)


class Draws:
    """Random numbers keyed by seed, stream and index; made by ``tk.draws``.

    Each method takes a ``stream``, a word or a number that says what the draws are for, and gives
    every seed its own draws: as many as ``shape`` says, along trailing dims. ``at`` picks draws by
    their index instead: up to three whole numbers, or integer arrays that broadcast with the
    seeds, such as the step and the agent. The draws of a shape are those at 0, 1, 2, … in C
    order: ``uniform("s", (n,), at=step)[..., i]`` is ``uniform("s", at=(step, i))``. Every index
    is from 0 to 2**32 - 1.

    A number depends on its seed, stream and index alone: not on what else is drawn, nor on what
    other runs are in the batch.
    """

    def __init__(self, seed: Numbers) -> None:
        self.seed = _integers(seed, "seed")

    def uniform(
        self,
        stream: str | int,
        shape: Shape = (),
        *,
        at: Numbers | tuple[Numbers, ...] = (),
        low: Numbers = 0.0,
        high: Numbers = 1.0,
    ) -> Any:
        """Return floats from ``low`` up to but without ``high``, in steps of 2**-53 of the range.

        ``low`` and ``high`` broadcast with the result.
        """
        first, second, _, _ = self.words(stream, shape, at=at)
        unit = _to_float((first << 21) | (second >> 11)) * 2.0**-53
        if _is_number(low, 0.0) and _is_number(high, 1.0):
            return unit
        return low + (high - low) * unit

    def normal(
        self,
        stream: str | int,
        shape: Shape = (),
        *,
        at: Numbers | tuple[Numbers, ...] = (),
        mean: Numbers = 0.0,
        sd: Numbers = 1.0,
    ) -> Any:
        """Return normal deviates; ``mean`` and ``sd`` broadcast with the result."""
        first, second, _, _ = self.words(stream, shape, at=at)
        centered = (_to_float((first << 20) | (second >> 12)) + 0.5) * 2.0**-52 - 0.5
        deviate = normal_quantile(centered)
        if _is_number(mean, 0.0) and _is_number(sd, 1.0):
            return deviate
        return mean + sd * deviate

    def integers(
        self,
        stream: str | int,
        low: int,
        high: int,
        shape: Shape = (),
        *,
        at: Numbers | tuple[Numbers, ...] = (),
    ) -> Any:
        """Return whole numbers from ``low`` up to but without ``high``, int64.

        Raises
        ------
        StageError
            If ``high`` is not above ``low``, or more than 2**31 above.
        """
        span = high - low
        if not 0 < span <= 2**31:
            raise StageError(f"integers({low}, {high}): high must be above low, by at most 2**31.")
        first, second, _, _ = self.words(stream, shape, at=at)
        return low + ((first * span + ((second * span) >> 32)) >> 32)

    def bernoulli(
        self,
        stream: str | int,
        p: Numbers,
        shape: Shape = (),
        *,
        at: Numbers | tuple[Numbers, ...] = (),
    ) -> Any:
        """Return bools that are true with probability ``p``, which broadcasts with the result."""
        return self.uniform(stream, shape, at=at) < p

    def words(
        self, stream: str | int, shape: Shape = (), *, at: Numbers | tuple[Numbers, ...] = ()
    ) -> tuple[Any, Any, Any, Any]:
        """Return the four words of 32 bits of each draw, as int64."""
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        given = at if isinstance(at, tuple) else (at,)
        places = [_integers(each, "at") for each in given]
        if len(places) + bool(shape) > 3:
            raise StageError(
                f"at= has {len(places)} indices"
                + (" beside a shape: at most 2." if shape else ": at most 3.")
            )
        torch = _torch_of([self.seed, *places])
        n = math.prod(shape)
        if n > _MOST:
            raise StageError(f"shape={shape} has more than 2**32 draws. Use several streams.")
        seed = self.seed
        if torch is not None:
            device = next(x.device for x in [seed, *places] if not isinstance(x, np.ndarray))
            seed, *places = (torch.as_tensor(each, device=device) for each in [seed, *places])
        if shape:
            pad = (..., *(None for _ in shape))
            seed, places = seed[pad], [each[pad] for each in places]
            count = np.arange(n) if torch is None else torch.arange(n, device=seed.device)
            places.append(count.reshape(shape))
        zero = np.zeros((), np.int64) if torch is None else seed.new_zeros(())
        counter = [*reversed(places), *[zero] * (3 - len(places)), zero + stream_word(stream)]
        key = [seed & _WORD, (seed >> 32) & _WORD]
        if torch is None:
            return _in_pieces(counter, key)
        return philox(counter, key)


def philox(counter: Sequence[Any], key: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """Return Philox4x32-10 of counters and keys.

    Parameters
    ----------
    counter, key
        Four and two int64 arrays or tensors that broadcast, each of words from 0 to 2**32 - 1.
    """
    # A product of two words fits 64 bits without sign; as int64 it wraps, which changes no bit.
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        left, right = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((right >> 32) & _WORD) ^ c1 ^ k0,
            right & _WORD,
            ((left >> 32) & _WORD) ^ c3 ^ k1,
            left & _WORD,
        )
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return c0, c1, c2, c3


def _in_pieces(counter: Sequence[Any], key: Sequence[Any]) -> tuple[Any, Any, Any, Any]:
    """Go through numpy arrays by pieces that a core's cache holds: three times as fast."""
    shape = np.broadcast_shapes(*(each.shape for each in (*counter, *key)))
    n = math.prod(shape)
    given = [
        each.reshape(1) if each.size == 1 else np.broadcast_to(each, shape).reshape(-1)
        for each in (*counter, *key)
    ]
    if n <= _CACHED:
        words = philox(given[:4], given[4:])
        first, second, third, fourth = (np.broadcast_to(each, n).reshape(shape) for each in words)
        return first, second, third, fourth
    found = np.empty((4, n), np.int64)
    for lo in range(0, n, _CACHED):
        part = [each if len(each) == 1 else each[lo : lo + _CACHED] for each in given]
        for row, each in zip(found, philox(part[:4], part[4:]), strict=True):
            row[lo : lo + _CACHED] = each
    first, second, third, fourth = found.reshape(4, *shape)
    return first, second, third, fourth


def _integers(given: Numbers, what: str) -> Any:
    """Return an int as an int64 array, and arrays and tensors as int64."""
    if isinstance(given, int) and not isinstance(given, bool):
        return np.array((given + 2**63) % 2**64 - 2**63, dtype=np.int64)
    if _torch_of([given]) is not None:
        if not (given.is_floating_point() or given.is_complex()):
            return given.long()
    else:
        array = np.asarray(given)
        if array.dtype.kind in "iu":
            return array.astype(np.int64, copy=False)
    raise StageError(
        f"draws() takes {what} of whole numbers; found {type(given).__name__} "
        f"{getattr(given, 'dtype', given)}. Pass run_seed as it arrives."
    )


def _torch_of(values: Sequence[Any]) -> Any:
    """Return torch where one of these is a tensor, else None."""
    torch = sys.modules.get("torch")
    kind = getattr(torch, "Tensor", None)
    return torch if kind and any(isinstance(value, kind) for value in values) else None


def stream_word(stream: str | int) -> int:
    """Return the word of 32 bits that stands for a stream.

    Raises
    ------
    StageError
        If it is neither a word nor a whole number below 2**32.
    """
    if isinstance(stream, str):
        return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=4).digest(), "little")
    if isinstance(stream, bool) or not isinstance(stream, int) or not 0 <= stream < _MOST:
        raise StageError(f"stream={stream!r}: give a word, or a whole number below 2**32.")
    return stream


def _to_float(words: Any) -> Any:
    return (
        words.astype(np.float64) if isinstance(words, np.ndarray | np.generic) else words.double()
    )


def _is_number(given: object, number: float) -> bool:
    return isinstance(given, int | float) and given == number
