"""MessagePack maps whose keys have the same hash: Python hashes pairs of integers without a key."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice

import msgspec

# The constants of CPython's hash of a tuple (xxHash).
FIRST, SECOND, FIFTH = 11400714785074694791, 14029467366897019727, 2870177450012600261
WORD = 1 << 64
LARGEST_HASH = (1 << 61) - 2
"""An integer up to this one is its own hash."""
END = 123456789


def map_of_equal_hashes(keys: int) -> bytes:
    """A map of so many keys. It takes Python quadratic time."""
    pairs = list(islice(_pairs(), keys))
    assert len(set(map(hash, pairs[:100]))) == 1
    entries = b"".join(msgspec.msgpack.encode(pair) + b"\x01" for pair in pairs)
    return b"\xdf" + keys.to_bytes(4, "big") + entries


def _pairs() -> Iterator[tuple[int, int]]:
    inverse_first, inverse_second = pow(FIRST, -1, WORD), pow(SECOND, -1, WORD)
    rotated_back = _rotated(END * inverse_first % WORD, 33)
    for one in count():
        middle = _rotated((FIFTH + one * SECOND) % WORD, 31) * FIRST % WORD
        other = (rotated_back - middle) * inverse_second % WORD
        if other <= LARGEST_HASH:
            yield one, other


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> 64 - bits) % WORD
