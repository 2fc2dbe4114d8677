"""Temporary files in TMPDIR. They have no name, and closing deletes them."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from service.core.errors import StorageError


@contextmanager
def temporary_file() -> Iterator[IO[bytes]]:
    """A new file; StorageError if it cannot be created. Write to it inside `storage_errors`."""
    with storage_errors():
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed below, without an error
    try:
        yield file
    finally:
        # Closing writes what is still in the buffer, and raises again if the disk is full.
        with suppress(OSError):
            file.close()


def check_room(size: int) -> None:
    """StorageError if a file of so many bytes does not fit now."""
    with storage_errors():
        if shutil.disk_usage(tempfile.gettempdir()).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def storage_errors(
    what: str = "A temporary file cannot be written (TMPDIR)",
    advice: str = "Make room there, or set TMPDIR to another folder.",
) -> Iterator[None]:
    """Raise StorageError if a file of the service cannot be used; for temporary ones by default."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{what}: {error.strerror}. {advice}") from error
