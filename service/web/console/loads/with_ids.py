"""A file of rows with ids, loaded as the loader loads it."""

from __future__ import annotations

from functools import cached_property, partial

from loader.loading.block_size import block_bytes
from loader.loading.dry_run import ShadowTables, dry_run
from loader.loading.pipeline import Load
from loader.options import Options
from loader.reading.file import CsvFile
from loader.reporting.rejects_file import check_folder
from loader.reporting.summary import Summary
from service.core.threads import in_thread
from service.web.console.loads.part import Part

WORKERS = 1
"""A load has one slot of the limiter for long work, so it uses one connection."""


class WithIds(Part):
    """A file of rows with ids, as the loader loads it: its checkpoints say what is done."""

    _file: CsvFile
    _load: Load

    @cached_property
    def _options(self) -> Options:
        folder = self.source.path.parent
        return Options(
            data_dir=folder,
            rejects_dir=folder,
            on_conflict=self.options.on_conflict,
            assume_utc=self.options.assume_utc,
            workers=WORKERS,
            small_blocks=True,
            user=self.job.user,
        )

    async def prepare(self) -> None:
        size = block_bytes(await self.database.limits(), small=True)
        detect = partial(CsvFile.detect, self.source, self._options, block_bytes=size)
        self._file = await in_thread(detect)
        await in_thread(check_folder, self._options.rejects_dir)
        self.fingerprint, self.origin = self._file.fingerprint, self.source.short_name

    async def preview(self, pending: ShadowTables) -> None:
        summary = await dry_run(
            self.database, pending, self._file, self.options.on_conflict, self._progress
        )
        self.show(summary, self._file.size)
        self.publish(summary)
        errors = {one.position: one.errors for one in summary.first}
        self.show_first(await in_thread(_first_records, self._file), errors)

    async def load(self) -> None:
        self._load = Load(
            self.database, self._file, self._options, copy=self.copy, count=self.count
        )
        summary = await self._load.run(self._progress)
        self.show(summary, self._file.size)
        self.publish(summary, summary.rejects_file)

    async def forget(self) -> None:
        await self._load.checkpoint.forget()

    def _progress(self, _file: CsvFile, summary: Summary, done: int) -> None:
        self.show(summary, done)


def _first_records(file: CsvFile) -> list[tuple[int, str]]:
    """(line, text) of the first records."""
    block = next(file.blocks(file.start), None)
    if block is None:
        return []
    return [
        (line, file.layout.original(text))
        for line, text in zip(block.lines, block.texts, strict=False)
    ]
