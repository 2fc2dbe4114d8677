"""python strip.py FOLDER…: removes symbols and debugging information from 64-bit ELF files.

It does what `strip --strip-all` does, because images of Python have no binutils. A program is
loaded by its segments. What follows the last of them is only for linkers and debuggers: the file
ends there, and its header names no sections.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little endian
SECTIONS_AT, SECTION_COUNTS_AT = 40, 58
SEGMENTS_AT, SEGMENT_COUNTS_AT = 32, 54


def strip(path: Path) -> None:
    """Write the file again without its sections, if it is such a file."""
    data = path.read_bytes()
    if data[:6] != MAGIC:
        return
    (start,) = struct.unpack_from("<Q", data, SEGMENTS_AT)
    size, count = struct.unpack_from("<HH", data, SEGMENT_COUNTS_AT)
    segments = (struct.unpack_from("<8xQ16xQ", data, start + at * size) for at in range(count))
    head = bytearray(data[: max(offset + length for offset, length in segments)])
    struct.pack_into("<Q", head, SECTIONS_AT, 0)
    struct.pack_into("<HHH", head, SECTION_COUNTS_AT, 0, 0, 0)
    path.write_bytes(head)


for folder in sys.argv[1:]:
    for found in Path(folder).rglob("*.so*"):
        if not found.is_symlink():
            strip(found)
