"""Checks the folders: they exist or can be made, they take files, and they have room."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from loader.reading.source import open_sources
from service.cli.doctor.findings import Finding, error, ok, size, warning
from service.core.errors import InputError
from service.core.settings import Settings

LITTLE_ROOM, NO_ROOM = 1 << 30, 100 << 20
"""Free bytes: below the first, a warning; below the second, an error."""
FEW_FILES = 1000
"""Files that a file system can still take: below this, an error."""
TO_READ = "DATA_DIR"


def folders(settings: Settings) -> list[Finding]:
    """Check each folder that the program uses."""
    written = {"REJECTS_DIR": settings.rejects_dir, "BACKUP_DIR": settings.backup_dir}
    if settings.embedded:
        written["EMBEDDED_DIR"] = settings.embedded_dir
    written["TMPDIR"] = Path(tempfile.gettempdir())
    return [_data(settings.data_dir), *(_written(name, path) for name, path in written.items())]


def _data(folder: Path) -> Finding:
    try:
        with open_sources(folder) as sources:
            return ok(TO_READ, f"{folder} has {', '.join(one.table.name for one in sources)}")
    except InputError as problem:
        remedy = "Set DATA_DIR to the folder of your CSV files. Only a load needs it."
        return warning(TO_READ, str(problem), remedy)


def _written(name: str, folder: Path) -> Finding:
    existing = _existing(folder)
    try:
        _write_in(existing)
        disk = os.statvfs(existing)
    except OSError as problem:
        text = f"{folder} cannot be written: {problem.strerror} ({existing})."
        is_full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "Make room" if is_full else f"Let this user write in {existing}"
        return error(name, text, f"{remedy}, or set {name} to another folder.")
    return _room(name, folder, disk)


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists; a file stands for itself."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _write_in(folder: Path) -> None:
    """Write a file as the program does. It has no name afterwards, so nothing is left."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"hirebase")
        file.flush()
        os.fsync(file.fileno())


def _room(name: str, folder: Path, disk: os.statvfs_result) -> Finding:
    free = disk.f_bavail * disk.f_frsize
    text = f"{folder}: {size(free)} free"
    remedy = f"Make room, or set {name} to a folder on a larger disk."
    if free < NO_ROOM:
        return error(name, text, remedy)
    if disk.f_files and disk.f_favail < FEW_FILES:
        return error(name, f"{folder}: room for only {disk.f_favail} more files", remedy)
    if free < LITTLE_ROOM:
        return warning(name, text, remedy)
    return ok(name, text if folder.exists() else f"{text}; the program creates it")
