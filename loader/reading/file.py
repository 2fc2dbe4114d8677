"""A file as it is loaded: opened, recognised, and its records judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from loader.options import Options
from loader.reading.blocks import beginning, blocks
from loader.reading.layout import CsvLayout, layout_of
from loader.reading.source import Source, Version
from loader.reading.splitter import Block, Position
from service.core.rules import batch
from service.core.rules.batch import Batch
from service.core.rules.reject import Reject


@dataclass(frozen=True)
class CsvFile:
    """A source whose layout and fingerprint are known; `size`: bytes, unpacked."""

    source: Source
    layout: CsvLayout
    start: Position
    fingerprint: str
    size: int
    version: Version
    assume_utc: bool
    small_blocks: bool = False

    @classmethod
    def detect(cls, source: Source, options: Options, *, small_blocks: bool = False) -> CsvFile:
        """Read the file once; InputError for what cannot be read, or has a header that is wrong."""
        version = source.version()
        with source.open() as file:
            start, first = beginning(file, options.delimiter)
        layout = layout_of(source.table, first, options.delimiter)
        fingerprint, size = source.fingerprint()
        known = (source, layout, start, fingerprint, size, version)
        return cls(*known, options.assume_utc, small_blocks)

    def blocks(self, start: Position) -> Iterator[Block]:
        """The records from `start` on; StoppedError when the file changes meanwhile."""
        with self.source.open() as file:
            for block in blocks(file, self.layout, start, small=self.small_blocks):
                self.source.check_unchanged(self.version)
                yield block
        # A file that was cut short meanwhile just ends.
        self.source.check_unchanged(self.version)

    def judge(self, block: Block) -> Batch:
        """The rows of a block; its rejects carry the original text."""
        judged = batch.from_texts(self.source.table, block.records, assume_utc=self.assume_utc)
        judged.record = lambda position: self.layout.original(block.texts[position])
        for reject in judged.rejects:
            reject.record = judged.record(reject.position)
            if error := block.malformed.get(reject.position):
                reject.errors = [error]
        return judged


def at_lines(rejects: list[Reject], block: Block) -> list[Reject]:
    """Rejects by the line on which each record begins."""
    return [
        Reject(block.lines[reject.position], reject.record, reject.errors) for reject in rejects
    ]
