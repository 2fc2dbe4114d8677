"""A file to load: opened, its layout detected, its records validated."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from loader.options import Options
from loader.reading.blocks import LARGE_BLOCK, arranged, beginning, blocks, splitter_of
from loader.reading.layout import CsvLayout, layout_of
from loader.reading.pieces import Piece
from loader.reading.source import Source, Version
from loader.reading.splitter import Block
from service.core.rules.batch import Batch, Records, from_texts
from service.core.rules.reject import Reject
from service.core.writes.checkpoint import Position
from service.core.writes.corrections.files import key_of


def _nothing(_position: int) -> str:
    return ""


@dataclass(frozen=True)
class CsvFile:
    """A source with its layout and fingerprint; `size`: bytes, unpacked."""

    source: Source
    layout: CsvLayout
    start: Position
    fingerprint: str
    size: int
    version: Version
    assume_utc: bool
    block_bytes: int = LARGE_BLOCK

    @classmethod
    def detect(cls, source: Source, options: Options, *, block_bytes: int = LARGE_BLOCK) -> CsvFile:
        """Read the file once; InputError if it cannot be read, or has a wrong header."""
        version = source.version()
        with source.open() as file:
            start, first = beginning(file, options.delimiter)
        layout = layout_of(source.table, first, options.delimiter)
        fingerprint, size = source.fingerprint()
        facts = (source, layout, start, fingerprint, size, version)
        return cls(*facts, options.assume_utc, block_bytes)

    def blocks(self, start: Position) -> Generator[Block]:
        """The records from `start` on; StoppedError if the file changes meanwhile."""
        with self.source.open() as file:
            for block in blocks(file, self.layout, start, size=self.block_bytes):
                self.source.check_unchanged(self.version)
                yield block
        # A file that is cut at the end of a block has no further block.
        self.source.check_unchanged(self.version)

    def split(self, piece: Piece) -> Block:
        """The block of a piece that is not the first of the file."""
        return arranged(splitter_of(self.layout).block(piece), self.layout)

    def validate(self, block: Block) -> Batch:
        """The batch of a block; its rejects carry the original text."""
        records = Records(lambda: block.texts, self.layout.original)
        batch = from_texts(
            self.source.table, block.records, records=records, assume_utc=self.assume_utc
        )
        for reject in batch.rejects if block.malformed else ():
            if error := block.malformed.get(reject.position):
                reject.errors = [error]
        return batch

    def at_lines(
        self, rejects: list[Reject], block: Block, repeated: Callable[[int], str] = _nothing
    ) -> list[Reject]:
        """The rejects, each with the line on which its record begins, and its key.

        repeated: the key of the reject that a record repeats, by its position; empty without one.
        """
        lines = block.lines
        return [
            Reject(
                (line := lines[one.position]),
                one.record,
                one.errors,
                repeated(one.position) or key_of(self.fingerprint, line),
            )
            for one in rejects
        ]
