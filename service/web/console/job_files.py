"""The files of a job: the upload and the rejects, in a folder that all replicas share."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path
from typing import IO

from service.core.backups.format.zip_archive import CHUNK
from service.core.errors import StorageError
from service.core.temporary_files import storage_errors
from service.core.threads import in_thread
from service.web.console.jobs import Job, Jobs

FILE = "file"
NAME_BYTES = 100
"""File systems allow 255; the name of the rejects file is longer."""
_unsafe = re.compile(r"[^\w.-]")


_storage_errors = partial(
    storage_errors,
    "The folder of uploads and rejects (REJECTS_DIR) cannot be used",
    "Make room there and allow the service to read and write it, then try again.",
)


def safe_name(name: str) -> str:
    """A safe file name of at most NAME_BYTES; its end is kept, because it shows the format."""
    safe = _unsafe.sub("_", Path(name).name).encode()[-NAME_BYTES:].decode(errors="ignore")
    return safe.lstrip(".") or "rows.csv"


def upload_of(job: Job, jobs: Jobs) -> Path:
    """The path of a load's upload."""
    return jobs.folder(job.id) / FILE / job.options["name"]


def keep(upload: IO[bytes], path: Path) -> None:
    """Copy an upload to its path in the new folder of its job; StorageError."""
    with _storage_errors():
        path.parents[2].mkdir(parents=True, exist_ok=True)
        path.parents[1].mkdir(mode=0o700)
        path.parent.mkdir()
        upload.seek(0)
        with path.open("wb") as copy:
            shutil.copyfileobj(upload, copy, CHUNK)


async def existing(path: Path) -> Path:
    """The path; StorageError if this replica cannot see the file."""
    with _storage_errors():
        if await in_thread(path.is_file):
            return path
    raise StorageError(
        "The file of this job is not on this server. Upload it again, and tell the operator "
        "that all servers need the same folder as REJECTS_DIR."
    )
