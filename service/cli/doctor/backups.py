"""Checks the age of the newest backup."""

from __future__ import annotations

from datetime import UTC, datetime

from service.cli.doctor.findings import Finding, error, ok, size, skipped, warning
from service.core.backups.backup_store import BackupStore
from service.core.errors import StorageError
from service.core.settings import Settings

USUAL_HOURS = 26
"""A daily backup is younger, also if it takes longer than the one before."""
MAKE = "Run: hirebase backup, every day (docs/backup.md)."


def backups(settings: Settings, max_hours: float | None) -> Finding:
    """Check the newest backup of all tables; max_hours: an older one is an error."""
    bad, limit = (warning, USUAL_HOURS) if max_hours is None else (error, max_hours)
    folder = settings.backup_dir
    try:
        complete = [one for one in BackupStore(folder).list() if one.name.endswith(".zip")]
    except StorageError as problem:
        return skipped("backups", str(problem))
    if not complete:
        return bad("backups", f"{folder} has no backup of all tables.", MAKE)
    newest = complete[-1]
    hours = (datetime.now(UTC) - datetime.fromisoformat(newest.made_at)).total_seconds() / 3600
    text = f"{newest.name} is {hours:.1f} hours old and has {size(newest.size)}"
    return bad("backups", text, MAKE) if hours > limit else ok("backups", text)
