"""CSV files as blocks of records with their line numbers and original text."""

from __future__ import annotations

import codecs
import csv
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiofiles

from service.core.errors import InputError
from service.core.tables import TABLES, Table

CHUNK = 1 << 20


@dataclass(frozen=True)
class Source:
    """A file and the table it belongs to."""

    table: Table
    path: Path


@dataclass(frozen=True)
class Block:
    """Records, the line each begins on, and the text each was."""

    records: list[list[str]]
    lines: list[int]
    texts: list[str]

    def parts(self, size: int) -> Iterator[Block]:
        """The same in smaller blocks."""
        for start in range(0, len(self.records), size):
            end = start + size
            yield Block(self.records[start:end], self.lines[start:end], self.texts[start:end])


def sources(folder: Path) -> list[Source]:
    """The file of every table, parents first; InputError if one is not there."""
    return [Source(table, _readable(folder / f"{table.name}.csv")) for table in TABLES]


def fingerprint(source: Source) -> str:
    """A hash of the table's name and the file's content."""
    digest = hashlib.sha256(source.table.name.encode())
    with source.path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


async def blocks(path: Path) -> AsyncIterator[Block]:
    """The records of a file, about a mebibyte at a time."""
    line, rest = 1, ""
    async for text in _texts(path):
        rest += text
        cut = _last_record_end(rest)
        if cut:
            yield _parse(rest[:cut], line)
            line += rest.count("\n", 0, cut)
            rest = rest[cut:]
    if rest:
        yield _parse(rest, line)


async def _texts(path: Path) -> AsyncIterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    async with aiofiles.open(path, "rb") as file:
        while chunk := await file.read(CHUNK):
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)


def _last_record_end(text: str) -> int:
    """Where the last whole record ends: after a newline that stands in no quotes."""
    cut = text.rfind("\n") + 1
    while cut and text.count('"', 0, cut) % 2:
        cut = text.rfind("\n", 0, cut - 1) + 1
    return cut


def _parse(text: str, line: int) -> Block:
    block = Block([], [], [])
    physical = text.removesuffix("\n").split("\n")
    reader, before = csv.reader(f"{part}\n" for part in physical), 0
    for record in reader:
        if any(map(str.strip, record)):
            block.records.append([field.strip() for field in record])
            block.lines.append(line + before)
            block.texts.append("\n".join(physical[before : reader.line_num]).removesuffix("\r"))
        before = reader.line_num
    return block


def _readable(path: Path) -> Path:
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check DATA_DIR.") from error
