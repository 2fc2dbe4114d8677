"""Verifies backups from end to end, without the database."""

from __future__ import annotations

from contextlib import ExitStack
from typing import IO

from msgspec import Struct

from service.core.backups.format.avro import Reader, Records
from service.core.backups.sources import sources
from service.core.errors import RowsRefused
from service.core.progress import Progress, Step, silent
from service.core.rules.avro_records import validate
from service.core.tables import Table
from service.core.threads import in_thread


class Verdict(Struct, frozen=True, omit_defaults=True):
    """The result for one table of a backup.

    verified: its count and checksum are those that the database computed for the backup. A file of
    another program has no checksum: it is readable, but not verified.
    """

    table: str
    rows: int
    codec: str
    verified: bool
    snapshot_at: str | None
    program: str | None
    server: str = ""
    position: str = ""


class Verification(Struct, frozen=True):
    """The result for a backup. A damaged one raises BackupError instead."""

    verified: bool
    tables: list[Verdict]


async def verify(file: IO[bytes], progress: Progress = silent) -> Verification:
    """Read an Avro file or a ZIP to its end; BackupError says what is wrong and where."""
    return await in_thread(_verify, file, progress)


def _verify(file: IO[bytes], progress: Progress = silent) -> Verification:
    with ExitStack() as stack:
        verdicts = [_verdict(table, entry, progress) for table, entry in sources(file, stack)]
    return Verification(all(verdict.verified for verdict in verdicts), verdicts)


def _verdict(table: Table, file: IO[bytes], progress: Progress) -> Verdict:
    reader, step, rows = Reader(table, file), f"verify {table.path}", 0
    reader.scan()
    progress(Step(step, rows, reader.rows))
    for records in reader:
        if reader.origin is None:
            _refuse_bad_rows(table, records)
        rows += len(records)
        progress(Step(step, rows, reader.rows))
    reader.check()
    origin = reader.origin
    return Verdict(
        table=table.path,
        rows=reader.rows,
        codec=reader.codec,
        verified=origin is not None,
        snapshot_at=origin.snapshot_at if origin else None,
        program=origin.program if origin else None,
        server=origin.server if origin else "",
        position=origin.position if origin else "",
    )


def _refuse_bad_rows(table: Table, records: Records) -> None:
    rejects = validate(table, records).rejects
    if rejects:
        raise RowsRefused(
            f"{len(rejects)} rows of this file of {table.path} break a rule.",
            [reject.clipped() for reject in rejects[:100]],
            count=len(rejects),
        )
