"""The totals of a file: the number of its rows and their checksum, in a last block of 0 rows.

A backup is sent while it is read, so its totals are known only at the end. Other programs skip a
block of 0 rows, in three ways:

- Most skip it by its size.
- Apache Avro for Python does not skip its bytes if the codec is null, but reads them as further
  blocks of 0 rows without bytes. So each number follows a 0.
- Avro for C, and DuckDB with it, tries to read one row and ends at the error. So the first number
  is neither the length of a text, nor an int, nor the index of a union.
"""

from __future__ import annotations

from service.core.backups.format.binary import Bytes, write_long
from service.core.backups.format.checksum import Checksum
from service.core.errors import BackupError

NO_ROW = 1 << 62


def write(total: Checksum) -> bytes:
    """The data of the block."""
    return b"".join(write_long(0) + write_long(one) for one in (NO_ROW, total.rows, total.value))


def read(data: bytes) -> Checksum:
    """The totals in the data of the block; BackupError."""
    numbers = Bytes(data)
    try:
        longs = [numbers.long() for _ in range(6)]
    except EOFError:
        raise BackupError("its totals are cut short") from None
    total = Checksum(longs[3], longs[5])
    if write(total) != data:
        raise BackupError("its totals cannot be read")
    return total
