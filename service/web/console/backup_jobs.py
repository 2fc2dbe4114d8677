"""Backups from the console: taken, verified, restored."""

from __future__ import annotations

import msgspec

from service.core.backups.backup_store import BackupStore
from service.core.backups.restore import restore
from service.core.backups.sources import opened
from service.core.backups.transaction_limits import TransactionLimits
from service.core.backups.verify import verify
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.tables import by_path
from service.core.threads import in_thread
from service.web.console.jobs import Job


async def take(job: Job, database: Database, settings: Settings) -> int:
    """A backup into BACKUP_DIR; its bytes."""
    name = job.options["table"]
    saved = await BackupStore(settings.backup_dir).save(
        database, None if name == "all" else by_path(name), "deflate"
    )
    job.rows = [
        {"table": table, "rows": part.rows, "bytes": part.bytes, "checksum": part.checksum}
        for table, part in saved.tables.items()
    ]
    job.message = f"{saved.name}: {saved.size} bytes, verified."
    return saved.size


async def check(job: Job, settings: Settings) -> None:
    """Read a backup from end to end."""
    depot = BackupStore(settings.backup_dir)
    with await in_thread(depot.open, job.options["backup"]) as file:
        found = await verify(file)
    job.rows = [msgspec.structs.asdict(verdict) for verdict in found.tables]
    job.message = (
        "It is whole." if found.verified else "It can be read, but carries no checksum to verify."
    )


async def bring_back(job: Job, database: Database, settings: Settings) -> None:
    """Restore a backup, or in a preview only tell what that would do."""
    depot = BackupStore(settings.backup_dir)
    limits = TransactionLimits(
        settings.mysql_max_transaction_rows, settings.mysql_max_transaction_bytes
    )
    with await in_thread(depot.open, job.options["backup"]) as file:
        async with opened(file) as found:
            done = await restore(database, found, "replace", dry_run=job.preview, limits=limits)
    job.rows = [msgspec.structs.asdict(one) for one in done]
    if job.preview and any(one.orphaned for one in done):
        job.message = (
            "Rows would lose their department or job, so the restore would be refused. Restore a "
            "backup of all tables instead, or change those rows first."
        )
