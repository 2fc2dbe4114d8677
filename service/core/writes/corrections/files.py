"""Corrected rejects files: a row that names an open reject closes it, exactly once.

A rejects file names each reject by its key: the file that it came from, and the line. Only a file
with the same content has the same key, so a file from another database closes nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from service.core.database.statements import Transaction, fetch_among
from service.core.rules.batch import Batch, Row
from service.core.tables import Table
from service.core.writes import merge
from service.core.writes.corrections.outcomes import SQL, close

REPEATS = "Repeats reject "
"""The reason of a dismissed reject: its row names an earlier reject, which stays open."""
_DIGITS = 16
_key = re.compile(rf"([0-9a-f]{{{_DIGITS}}}):([1-9][0-9]{{0,17}})").fullmatch


class Named(Struct, frozen=True):
    """A reject that a file names. row_id: of the row that corrected it."""

    id: int
    closed: bool = False
    row_id: int | None = None


def key_of(origin_key: str, line: int) -> str:
    """The key of a reject: the beginning of its file's fingerprint, and its line."""
    return f"{origin_key[:_DIGITS]}:{line}"


def repeated(reason: str | None) -> str:
    """The key of the reject that another one repeats, by its reason; empty if it repeats none."""
    key = (reason or "").removeprefix(REPEATS)
    return key if _key(key) and reason != key else ""


@dataclass
class Corrections:
    """The open rejects that the records of a batch name: (key, id) by position.

    skipped: how many records were removed from the batch, because their reject is closed.
    """

    open: dict[int, tuple[str, int]]
    skipped: int = 0

    @classmethod
    async def of(
        cls, transaction: Transaction, batch: Batch, keys: Sequence[str], *, lock: bool = True
    ) -> Corrections:
        """Find the rejects by their keys, one for each record; lock: others cannot close them."""
        if not any(keys):
            return cls({})
        named = await _find(transaction, batch.table, keys, lock=lock)
        rows = dict(zip(batch.positions, batch.rows, strict=True))
        found, closed = dict[int, tuple[str, int]](), set[int]()
        for position, key in enumerate(keys):
            reject = named.get(key)
            if reject is None:
                continue
            if reject.closed and not _is_row(reject, batch.table, rows.get(position)):
                closed.add(position)
            elif not reject.closed:
                found[position] = (key, reject.id)
                # The first record that names a reject corrects it.
                named[key] = Named(reject.id, closed=True)
        _remove(batch, closed)
        return cls(found, len(closed))

    def key(self, position: int) -> str:
        """The key of the open reject that a record names; empty without one."""
        return self.open[position][0] if position in self.open else ""

    async def close(self, transaction: Transaction, batch: Batch, user: str) -> None:
        """Close the rejects whose rows are now in the table."""
        if not self.open:
            return
        rows = zip(batch.positions, batch.rows, strict=True)
        corrected = {position: row for position, row in rows if position in self.open}
        stored = await merge.find(transaction, batch.table, [row[0] for row in corrected.values()])
        ids = {at: row[0] for at, row in corrected.items() if stored.get(row[0]) == row}
        await self.close_with(transaction, ids, user)

    async def close_with(
        self, transaction: Transaction, ids: Mapping[int, int | None], user: str
    ) -> None:
        """Close the rejects whose rows have these ids, by position; None has no row."""
        open_rejects = self.open.items()
        rows = {number: ids.get(position) for position, (_, number) in open_rejects}
        written = {number: row_id for number, row_id in rows.items() if row_id is not None}
        await close(transaction, user, written)


async def dismiss_repeated(
    transaction: Transaction, origin_key: str, repeats: Iterable[tuple[int, str]], user: str
) -> None:
    """Close logged rejects, (line, key), whose rows repeat earlier ones: each is open only once."""
    keys = {line: key for line, key in repeats if key not in ("", key_of(origin_key, line))}
    outcomes = [
        (number, "dismissed", user, f"{REPEATS}{keys[line]}", None)
        for number, line in await fetch_among(transaction.fetch, SQL["at_lines"], keys, origin_key)
    ]
    if outcomes:
        await transaction.insert(SQL["insert"], outcomes)


def _is_row(reject: Named, table: Table, row: Row | None) -> bool:
    """Whether a row with this id corrected the reject. Then the id decides, as for all rows."""
    return row is not None and len(row) == len(table.columns) and row[0] == reject.row_id


def _remove(batch: Batch, positions: set[int]) -> None:
    if positions:
        kept = [at for at, position in enumerate(batch.positions) if position not in positions]
        batch.rows = [batch.rows[at] for at in kept]
        batch.positions = [batch.positions[at] for at in kept]
        batch.rejects = [one for one in batch.rejects if one.position not in positions]


async def _find(
    transaction: Transaction, table: Table, keys: Iterable[str], *, lock: bool
) -> dict[str, Named]:
    """The rejects of a table by their keys."""
    lines: dict[str, set[int]] = {}
    for match in filter(None, map(_key, keys)):
        lines.setdefault(match[1], set()).add(int(match[2]))
    found: dict[int, str] = {}
    for file in sorted(lines):
        chosen = (f"{file}%", table.name)
        rows = await fetch_among(transaction.fetch, SQL["of_file"], lines[file], *chosen)
        found |= {number: f"{file}:{line}" for number, line in rows}
    if lock:
        await fetch_among(transaction.fetch, SQL["locked_among"], found)
    closed_rejects = await fetch_among(transaction.fetch, SQL["closed_among"], found)
    closed: dict[int, int | None] = dict(closed_rejects)
    return {
        key: Named(number, closed=number in closed, row_id=closed.get(number))
        for number, key in found.items()
    }
