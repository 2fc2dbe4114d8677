"""Backup jobs of the console: make, verify, restore."""

from __future__ import annotations

import msgspec

from service.core.backups.backup_store import BackupStore
from service.core.backups.restore import restore
from service.core.backups.sources import opened
from service.core.backups.verify import verify
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import by_path
from service.core.threads import in_thread
from service.web.console.jobs import Job


async def back_up(job: Job, database: Database, settings: Settings) -> int:
    """Make a backup in BACKUP_DIR; its size in bytes."""
    name = job.options["table"]
    saved = await BackupStore(settings.backup_dir).save(
        database, None if name == "all" else by_path(name), "deflate"
    )
    job.rows = [
        {"table": table, "rows": one.rows, "bytes": one.bytes, "checksum": one.checksum}
        for table, one in saved.tables.items()
    ]
    job.message = f"{saved.name}: {saved.size} bytes, verified."
    return saved.size


async def verify_backup(job: Job, settings: Settings) -> None:
    """Read a backup from end to end."""
    store = BackupStore(settings.backup_dir)
    with await in_thread(store.open, job.options["backup"]) as file:
        result = await verify(file)
    job.rows = [msgspec.structs.asdict(table) for table in result.tables]
    job.message = (
        "The backup is complete and unchanged."
        if result.verified
        else "The backup can be read, but has no checksum to verify."
    )


async def restore_backup(job: Job, database: Database, settings: Settings) -> None:
    """Restore a backup; a preview only shows what that would change."""
    store = BackupStore(settings.backup_dir)
    with await in_thread(store.open, job.options["backup"]) as file:
        async with opened(file) as backup:
            tables = await restore(database, backup, "replace", dry_run=job.preview)
    job.rows = [msgspec.structs.asdict(table) for table in tables]
    if job.preview and any(table.orphaned for table in tables):
        job.message = (
            "The restore would be refused, because rows would lose their department or job. "
            "Restore a backup of all tables instead, or change those rows first."
        )
