"""Source → batch → store: block by block, a transaction each."""

from __future__ import annotations

import asyncio
import time
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from loader.report import RejectsFile, Summary
from loader.source import Block, Source, blocks, fingerprint, sources
from service.core import batch, merge, store
from service.core.batch import Batch, Reject
from service.core.database import Database, Transaction
from service.core.merge import Counts, OnConflict
from service.core.store import Origin

ROWS = 10_000
SECONDS = 300


@dataclass(frozen=True)
class Options:
    """How to load."""

    data_dir: Path
    rejects_dir: Path
    on_conflict: OnConflict = "reject"
    assume_utc: bool = False


async def load(database: Database, options: Options) -> list[Summary]:
    """Load every table's file, parents first; InputError before anything is written."""
    return [await _load_file(database, source, options) for source in sources(options.data_dir)]


async def _load_file(database: Database, source: Source, options: Options) -> Summary:
    started = time.perf_counter()
    summary = Summary(source.table, source.path)
    rejects = RejectsFile(options.rejects_dir, source.table)
    key = await asyncio.to_thread(fingerprint, source)
    origin = Origin("loader", source.path.name, key)
    async for block in blocks(source.path):
        for part in block.parts(ROWS):
            counts, rejected = await _write(database, source, part, origin, options)
            summary.read += len(part.records)
            summary.counts += counts
            summary.reject(rejected)
            rejects.add(rejected)
    summary.rejects_file = rejects.close()
    summary.seconds = time.perf_counter() - started
    return summary


async def _write(
    database: Database, source: Source, block: Block, origin: Origin, options: Options
) -> tuple[Counts, list[Reject]]:
    judged = batch.from_strings(source.table, block.records, assume_utc=options.assume_utc)
    judged.record = block.texts.__getitem__
    for reject in judged.rejects:
        reject.record = block.texts[reject.position]

    async def work(transaction: Transaction) -> tuple[Counts, list[Reject]]:
        attempt = copy(judged)
        attempt.rejects = list(judged.rejects)
        await store.check_parents(transaction, attempt)
        counts = await merge.put(transaction, attempt, options.on_conflict)
        rejects = _at_lines(attempt, block)
        await store.log_rejects(transaction, source.table, rejects, origin)
        return counts, rejects

    return await database.run(work, SECONDS)


def _at_lines(judged: Batch, block: Block) -> list[Reject]:
    return [
        Reject(block.lines[reject.position], reject.record, reject.errors)
        for reject in judged.rejects
    ]
