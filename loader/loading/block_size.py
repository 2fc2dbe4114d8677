"""The size of a block, so that its transaction fits the limits of the server."""

from __future__ import annotations

from loader.reading.blocks import LARGE_BLOCK, SMALL_BLOCK
from service.core.database.replication.limits import TransactionLimits

LINE = 2
"""The shortest line of a file, with its line end."""
REJECTED = 160
"""The most bytes that a byte of a file adds to a transaction: every line is a reject."""
OTHER_ROWS = 2
"""Rows of a transaction that are not of the file: the checkpoint, written and changed."""
SMALLEST = 1024


def block_bytes(limits: TransactionLimits, *, small: bool) -> int:
    """The most bytes of a block; small: the server needs small transactions.

    A power of two, so that a limit that changes a little changes no block of an unfinished load.
    """
    largest = SMALL_BLOCK if small else LARGE_BLOCK
    if limits.rows:
        largest = min(largest, (limits.rows.value - OTHER_ROWS) * LINE)
    if limits.bytes:
        largest = min(
            largest, limits.bytes.value // (REJECTED * (2 if limits.with_statements else 1))
        )
    return 1 << max(largest, SMALLEST).bit_length() - 1
