"""Parts of open files, each with its own position."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def window(file: IO[bytes], start: int = 0, size: int | None = None) -> IO[bytes]:
    """A part of a file, or all of it, as a file. It shares no position with `file`."""
    if isinstance(file, io.BytesIO):
        return io.BytesIO(file.getvalue()[start:][:size])
    inner = getattr(file, "raw", None)
    if isinstance(inner, _Window):
        size = inner.size - start if size is None else size
        return io.BufferedReader(_Window(inner.descriptor, inner.start + start, size))
    file.flush()  # the window bypasses the file's buffer
    size = os.fstat(file.fileno()).st_size - start if size is None else size
    return io.BufferedReader(_Window(file.fileno(), start, size))


class _Window(io.RawIOBase):
    """A part of an open file. A duplicated descriptor would share the position."""

    def __init__(self, descriptor: int, start: int, size: int):
        self.descriptor, self.start, self.size, self._at = descriptor, start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer)[: max(0, self.size - self._at)]
        count = os.preadv(self.descriptor, [view], self.start + self._at)
        self._at += count
        return count
