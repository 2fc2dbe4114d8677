"""The backup commands: backup, restore, verify. For cron, they print little and fail with 1."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import click
import msgspec

from service.core.backups.backup_store import BackupStore, Saved
from service.core.backups.format.codecs import CODECS, Codec
from service.core.backups.preview import preview
from service.core.backups.restore import restore
from service.core.backups.restored import Mode, Restored, count_restored
from service.core.backups.sources import opened
from service.core.backups.verify import Verification, verify
from service.core.database.connect import connect
from service.core.database.migrations import applied_migrations
from service.core.database.replication.replicas import replicas
from service.core.database.transactions import Database
from service.core.errors import BackupError
from service.core.progress import Progress, of_rows, on_terminal
from service.core.settings import Settings
from service.core.tables import TABLES, Table, by_path
from service.core.writes.rows_by_day import counting_rows

PATHS = [table.path for table in TABLES]
EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="backup", help="Save a verified backup in a folder (default: BACKUP_DIR).")
@click.option("--table", type=click.Choice(PATHS), help="One table, as Avro.")
@click.option(
    "--all", "all_tables", is_flag=True, help="All tables at one moment, as ZIP (default)."
)
@click.option(
    "--codec",
    type=click.Choice(CODECS),
    default="deflate",
    show_default=True,
    help="Compression of the file.",
)
@click.option(
    "--keep",
    type=click.IntRange(1),
    help="Keep this many backups of the same kind and remove older ones.",
)
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
def backup_command(
    table: str | None, all_tables: bool, codec: Codec, keep: int | None, folder: Path | None
) -> None:
    if table and all_tables:
        raise click.UsageError("Use --table or --all, not both.")
    settings = Settings.from_environment(os.environ)
    store = BackupStore(folder or settings.backup_dir)
    one = by_path(table) if table else None
    with on_terminal() as display:
        saved = asyncio.run(_save(settings, store, one, codec, keep, of_rows(display)))
    rows = sum(part.rows for part in saved.tables.values())
    click.echo(f"{saved.name}: {rows} rows, {saved.size} bytes, verified")


@click.command(name="restore", help="Restore tables from a backup: all rows or none.")
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    default="replace",
    show_default=True,
    help="replace: the tables then have exactly the rows of the backup. merge: rows are added and "
    "changed, and none is removed.",
)
@click.option("--dry-run", is_flag=True, help="Report what would change, without changing it.")
@click.argument("file", type=EXISTING)
def restore_command(mode: Mode, dry_run: bool, file: Path) -> None:
    settings = Settings.from_environment(os.environ)
    with on_terminal() as display:
        results = asyncio.run(_restore(settings, file, mode, of_rows(display), dry_run=dry_run))
    for done in results:
        facts = msgspec.structs.asdict(done)
        click.echo(" ".join(f"{name}={value}" for name, value in facts.items()))


@click.command(
    name="verify", help="Read a whole backup. The exit code is 1 unless its checksums match."
)
@click.argument("file", type=EXISTING)
def verify_command(file: Path) -> None:
    with on_terminal() as display:
        verification = asyncio.run(_verify(file, of_rows(display)))
    for verdict in verification.tables:
        click.echo(
            f"{verdict.table}: {verdict.rows} rows, {verdict.codec}, "
            + (f"whole, as of {verdict.snapshot_at}" if verdict.verified else "readable")
        )
    if not verification.verified:
        raise BackupError("Another program wrote this file, so it has no checksum to verify.")


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[Database]:
    """The database; NewerSchemaError if it belongs to a newer version."""
    async with connect(settings) as database:
        await applied_migrations(database.fetch)
        yield database


async def _save(
    settings: Settings,
    store: BackupStore,
    table: Table | None,
    codec: Codec,
    keep: int | None,
    progress: Progress,
) -> Saved:
    async with _connected(settings) as database, replicas(settings, database) as readers:
        return await store.save(await readers.current(), table, codec, keep, progress)


async def _restore(
    settings: Settings, path: Path, mode: Mode, progress: Progress, *, dry_run: bool
) -> list[Restored]:
    work = preview if dry_run else restore
    with path.open("rb") as file:
        async with _connected(settings) as database, opened(file) as sources:
            tables = await work(database, sources, mode, progress)
            if not dry_run:
                async with counting_rows(database) as counts:
                    count_restored(counts, "", tables)
            return tables


async def _verify(path: Path, progress: Progress) -> Verification:
    with path.open("rb") as file:
        return await verify(file, progress)
