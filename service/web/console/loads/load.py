"""Loads from the console: the files of a job one after the other, parents first."""

from __future__ import annotations

from functools import partial
from typing import Any

from litestar.datastructures import State

from loader.loading.dry_run import shadow_tables
from loader.reading.source import Source
from loader.reporting.summary import SHOWN
from service.core.threads import in_thread
from service.web.console.jobs import Job
from service.web.console.loads.batches import format_of, size_of
from service.web.console.loads.files import LoadOptions
from service.web.console.loads.part import COLUMNS, Part
from service.web.console.loads.with_ids import WithIds
from service.web.console.loads.without_ids import WithoutIds

LEAST_SHOWN = 20
"""The fewest rows that a page shows of each file."""


async def load(job: Job, state: State) -> None:
    """Load the files, or validate them in a preview. It stops at the first file that fails."""
    parts = await _parts(job, state)
    if job.preview:
        with shadow_tables() as pending:
            for part in parts:
                with part.running():
                    await part.preview(pending)
        return
    for part in parts:
        with part.running():
            await part.load()
    for part in parts:
        await part.forget()
    # A load that fails is not counted: its next run reports all rows again.
    state.metrics.count_load(job.rows)


async def _parts(job: Job, state: State) -> list[Part]:
    """The parts of a load; InputError if a file cannot be read, or if its header is wrong."""
    options = LoadOptions.of(job)
    sources = options.sources(state.jobs, job)
    job.rows = [_row(source) for source in sources]
    parts: list[Part] = []
    for source in sources:
        part = await _part(job, state, options, source, len(parts))
        with part.without_paths():
            await part.prepare()
        if part.fingerprint:
            part.copy = sum(other.fingerprint == part.fingerprint for other in parts)
        parts.append(part)
    return parts


async def _part(job: Job, state: State, options: LoadOptions, source: Source, at: int) -> Part:
    before = job.total
    job.total += await in_thread(size_of, source)
    kind = await in_thread(format_of, source)
    shown = max(SHOWN // len(options.files), LEAST_SHOWN)
    count = partial(state.row_counts.add, "console", job.user)
    common = (job, state.database, source, at, before, shown, options, count)
    return WithIds(*common) if kind is None else WithoutIds(*common, kind)


def _row(source: Source) -> dict[str, Any]:
    counts = {name: 0 for name in COLUMNS if name not in ("table", "codes")}
    row = {"file": source.name, "state": "waiting", "table": source.table.name}
    return row | counts | {"codes": {}, "note": ""}
