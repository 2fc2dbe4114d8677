"""Dry runs: the outcome of a load, computed without writing to the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

import sql
from loader.reading.file import CsvFile
from loader.reporting.progress import Progress
from loader.reporting.summary import Summary
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import StoppedError
from service.core.rules.batch import Batch
from service.core.rules.reject import Reject
from service.core.tables import TABLES, Table
from service.core.threads import in_thread
from service.core.writes import merge
from service.core.writes.corrections.files import Corrections
from service.core.writes.merge import Counts, OnConflict
from service.core.writes.parents import check_parents
from sql import chunks

SQL = sql.statements("dry_run")
SECONDS = 300
Tokens = dict[int, tuple[int, int]]


class ShadowTables:
    """The rows that a load would write, as ids and hashes in a temporary file."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection
        for table in TABLES:
            connection.execute(sql.with_name(SQL["create"], table.name))

    def find(self, table: Table, ids: set[int]) -> Tokens:
        """The rows with these ids: id and hash, by id."""
        statement = sql.with_name(SQL["find"], table.name)
        return {
            row[0]: row
            for chunk in chunks(sorted(ids))
            for row in self._connection.execute(sql.with_in_list(statement, len(chunk)), chunk)
        }

    def put(self, table: Table, tokens: Tokens) -> None:
        """Add or replace rows."""
        self._connection.executemany(sql.with_name(SQL["put"], table.name), tokens.values())

    def ids(self, table: Table, ids: set[int]) -> set[int]:
        """The ids among these that have a row."""
        return set(self.find(table, ids))


@contextmanager
def shadow_tables() -> Iterator[ShadowTables]:
    """Shadow tables without rows, deleted at the end; StoppedError if the disk is full."""
    connection = sqlite3.connect("", isolation_level=None)
    try:
        connection.execute(SQL["synchronous_off"])
        connection.execute(SQL["journal_off"])
        yield ShadowTables(connection)
    except sqlite3.Error as error:
        raise StoppedError(
            f"The dry run cannot write its temporary file (in TMPDIR): {error}."
        ) from error
    finally:
        connection.close()


async def dry_run(
    database: Database,
    rows: ShadowTables,
    file: CsvFile,
    on_conflict: OnConflict,
    progress: Progress,
) -> Summary:
    """The summary that a load of this file would have."""
    table = file.source.table
    summary = Summary(table, file.source.name, dry_run=True)
    blocks = file.blocks(file.start)
    while block := await in_thread(next, blocks, None):
        counts, rejects = await _try(database, rows, file.validate(block), block.keys, on_conflict)
        summary.add(len(block.records), counts, file.at_lines(rejects, block))
        progress(file, summary, block.end.byte)
    summary.seconds = summary.elapsed
    return summary


async def _try(
    database: Database, rows: ShadowTables, batch: Batch, keys: list[str], on_conflict: OnConflict
) -> tuple[Counts, list[Reject]]:
    table = batch.table

    async def compare(transaction: Transaction) -> tuple[Batch, Tokens, int]:
        attempt = copy(batch)
        attempt.rejects = list(batch.rejects)
        corrections = await Corrections.of(transaction, attempt, keys, lock=False)
        await check_parents(transaction, attempt, rows.ids)
        old = await merge.find_among(transaction, table, [row[0] for row in attempt.rows])
        tokens = {key: (key, hash(row)) for key, row in old.items()}
        return attempt, tokens, corrections.skipped

    attempt, old, skipped = await database.run(compare, SECONDS)
    tokens = [(row[0], hash(row)) for row in attempt.rows]
    old |= rows.find(table, {key for key, _ in tokens})
    decision = merge.decide(tokens, old, on_conflict)
    rows.put(table, decision.added | decision.changed)
    attempt.reject(decision.refused)
    decision.counts.skipped += skipped
    return decision.counts, attempt.rejects
