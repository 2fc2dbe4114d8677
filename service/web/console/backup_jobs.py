"""Backup jobs of the console: make, verify, restore."""

from __future__ import annotations

import msgspec
from litestar.datastructures import State

from service.core.backups.preview import preview
from service.core.backups.restore import restore
from service.core.backups.restored import count_restored
from service.core.backups.sources import opened
from service.core.backups.verify import verify
from service.core.progress import Progress, line, of_rows
from service.core.tables import by_path
from service.core.threads import in_thread
from service.web.console.jobs import Job


async def back_up(job: Job, state: State) -> None:
    """Make a backup in BACKUP_DIR."""
    name = job.options["table"]
    table = None if name == "all" else by_path(name)
    with state.metrics.counting("backup"):
        reader = await state.replicas.current()
        saved = await state.backup_store.save(reader, table, "deflate", progress=_on(job))
    state.metrics.backup_bytes.inc(saved.size)
    job.rows = [
        {"table": table, "rows": part.rows, "bytes": part.bytes, "checksum": part.checksum}
        for table, part in saved.tables.items()
    ]
    job.message = f"{saved.name}: {saved.size} bytes, verified."


async def verify_backup(job: Job, state: State) -> None:
    """Read a backup from end to end."""
    opening = in_thread(state.backup_store.open, job.options["backup"])
    with state.metrics.counting("verify"), await opening as file:
        result = await verify(file, _on(job))
    job.rows = [msgspec.structs.asdict(table) for table in result.tables]
    job.message = (
        "The backup is complete and unchanged."
        if result.verified
        else "The backup can be read, but has no checksum to verify."
    )


async def restore_backup(job: Job, state: State) -> None:
    """Restore a backup; a preview only shows what that would change."""
    opening = in_thread(state.backup_store.open, job.options["backup"])
    with state.metrics.counting("restore", dry_run=job.preview), await opening as file:
        async with opened(file) as backup:
            work = preview if job.preview else restore
            tables = await work(state.database, backup, "replace", _on(job))
    if not job.preview:
        count_restored(state.row_counts, job.user, tables)
    job.rows, job.message = [msgspec.structs.asdict(table) for table in tables], ""
    if job.preview and any(table.orphaned for table in tables):
        job.message = (
            "The restore would be refused, because rows would lose their department or job. "
            "Restore a backup of all tables instead, or change those rows first."
        )


def _on(job: Job) -> Progress:
    """Shows the progress on the page of the job."""

    def show(step: str, status: str, done: int, total: int, elapsed: float) -> None:
        job.done, job.total = done, total
        job.message = line(step, status, done, total, elapsed)

    return of_rows(show)
