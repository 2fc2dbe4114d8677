"""A set of the ids in a file: millions of ids, four bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

BUCKET = 16
"""Low bits of an id. Ids with equal high bits are sorted together, to sort few at a time."""


class IdSet:
    """A growing set of ids that finds duplicates."""

    def __init__(self) -> None:
        self._ids = array("i")
        self._in_order = True

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, ids: Iterable[int]) -> None:
        """Add ids."""
        start = len(self._ids)
        self._ids.extend(ids)
        fresh = self._ids[max(0, start - 1) :]
        self._in_order = self._in_order and all(one < other for one, other in pairwise(fresh))

    def duplicate(self) -> int | None:
        """An id that was added twice, if any. Call it before `in`: it sorts the ids."""
        if self._in_order:
            return None
        self._sort()
        return next((one for one, other in pairwise(self._ids) if one == other), None)

    def __contains__(self, key: int) -> bool:
        at = bisect_left(self._ids, key)
        return at < len(self._ids) and self._ids[at] == key

    def _sort(self) -> None:
        buckets: defaultdict[int, array[int]] = defaultdict(lambda: array("i"))
        for key in self._ids:
            buckets[key >> BUCKET].append(key)
        self._ids = array("i")
        for upper in sorted(buckets):
            self._ids.extend(sorted(buckets.pop(upper)))
