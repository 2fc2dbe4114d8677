"""A file of rows without ids, inserted batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import msgspec
from msgspec import Struct

from loader.loading.dry_run import ShadowTables
from loader.reading.layout import KEY, REASONS
from loader.reporting.rejects_file import RejectsFile, line_of
from loader.reporting.summary import Summary
from service.core.database.statements import Transaction
from service.core.rules.fields import Error
from service.core.rules.raw_json import text_of
from service.core.rules.reject import Reject
from service.core.threads import in_thread
from service.core.writes import ingest
from service.core.writes.corrections.files import Corrections, dismiss_repeated, key_of
from service.core.writes.idempotency import Key, Keys, Reply, hash_of
from service.core.writes.merge import Counts
from service.core.writes.parents import Pending, no_ids
from service.core.writes.rejects import RejectOrigin
from service.web.console.loads.batches import FileBatch, batches, columns_of
from service.web.console.loads.part import Part

KEY_HOURS = 24 * 30
"""A job is kept for a day after its last run, so its keys outlive it."""


class _Written(Struct):
    """What became of a batch: errors of its rejects and their keys by position, and its counts."""

    errors: dict[int, list[Error]]
    keys: dict[int, str]
    counts: Counts


@dataclass
class WithoutIds(Part):
    """A file of rows without ids: each batch is inserted once, however often the load runs.

    kind: the format of the file.
    """

    kind: str

    @cached_property
    def _key(self) -> str:
        """The key of this load of the file. Each load adds the rows again, so it has a new key."""
        return hash_of("console", self.job.id, str(self.at))

    async def prepare(self) -> None:
        self.origin = f"console: {self.source.name}"

    async def preview(self, pending: ShadowTables) -> None:
        await self._run(pending.ids)

    async def load(self) -> None:
        await self._run()

    async def _run(self, pending: Pending = no_ids) -> None:
        path, is_preview = self.source.path, self.job.preview
        summary = Summary(self.source.table, self.source.name)
        found = batches(self.source, self.kind, assume_utc=self.options.assume_utc)
        columns = await in_thread(columns_of, self.source, self.kind)
        header = ",".join((*REASONS, KEY, *columns))
        file = RejectsFile(path.parent, path.stem, header, partial(line_of, ","))
        with closing(found) as remaining, file as rejects:
            while batch := await in_thread(next, remaining, None):
                written = await self._write(batch, summary.read, pending)
                refused = _rejects(batch, written, batch.rows.records.__getitem__)
                if is_preview and not summary.read:
                    self._show_first(batch, refused)
                if not is_preview:
                    texts = _rejects(batch, written, batch.text)
                    await in_thread(rejects.add, texts)
                summary.add(batch.rows.received, written.counts, list(map(_as_text, refused)))
                self.show(summary, batch.end)
            published = await in_thread(rejects.publish)
        self.publish(summary, published)

    async def _write(self, batch: FileBatch, before: int, pending: Pending) -> _Written:
        """Write a batch; before: the number of rows in earlier batches."""

        put = partial(self._put, batch, pending)
        if self.job.preview:
            return await self.database.run(put)

        async def work(transaction: Transaction) -> Reply:
            return Reply(200, msgspec.json.encode(await put(transaction)))

        name = f"{self.job.id}-{self.at}-{before}"
        key = Key(self.job.user, "console", name, hash_of(batch.body))
        reply = await Keys(self.database, KEY_HOURS).once(key, work)
        written = msgspec.json.decode(reply.body, type=_Written)
        if not reply.replayed:
            self.count(self.source.table, written.counts.added)
        return written

    async def _put(self, batch: FileBatch, pending: Pending, transaction: Transaction) -> _Written:
        """Insert the rows, close the rejects that they correct, and log their rejects."""
        rows = copy(batch.rows)
        rows.rejects = list(rows.rejects)
        is_preview, user = self.job.preview, self.job.user
        corrections = await Corrections.of(transaction, rows, batch.keys, lock=not is_preview)
        origin = RejectOrigin("api", self.origin, self._key, batch.lines)
        done = await ingest.ingest(transaction, rows, origin, dry_run=is_preview, pending=pending)
        errors = {reject.position: reject.errors for reject in done.rejects}
        keys = {at: corrections.key(at) or key_of(self._key, batch.lines[at]) for at in errors}
        if not is_preview:
            await corrections.close_with(transaction, dict(enumerate(done.ids)), user)
            repeats = ((batch.lines[at], key) for at, key in keys.items())
            await dismiss_repeated(transaction, self._key, repeats, user)
        added = done.received - len(errors) - corrections.skipped
        return _Written(errors, keys, Counts(added=added, skipped=corrections.skipped))

    def _show_first(self, batch: FileBatch, refused: Sequence[Reject]) -> None:
        lines = batch.lines[: self.shown]
        rows = [(line, batch.rows.records[at]) for at, line in enumerate(lines)]
        self.show_first(rows, {one.position: one.errors for one in refused})


def _rejects(batch: FileBatch, written: _Written, record: Callable[[int], Any]) -> list[Reject]:
    """The rejects of a batch with their lines; record: how they show a row, by position."""
    return [
        Reject(batch.lines[at], record(at), errors, written.keys[at])
        for at, errors in written.errors.items()
    ]


def _as_text(reject: Reject) -> Reject:
    return Reject(reject.position, text_of(reject.record), reject.errors)
