"""The progress of a load: a record is complete only while its rows and rejects are stored."""

from __future__ import annotations

import hashlib

from loader.reading.source import Source
from service.core.database.transactions import Database
from service.core.writes.checkpoint import SQL, Checkpoint, Done


class FileCheckpoint(Checkpoint):
    """The progress of one file under one set of options; deleted when the load is done."""

    def __init__(self, database: Database, source: Source, fingerprint: str, options: str):
        key = hashlib.sha256(f"{fingerprint} {options}".encode()).hexdigest()
        super().__init__(database, key, source.origin, fingerprint)
        self._source, self._fingerprint = source, fingerprint

    async def done(self) -> dict[int, Done]:
        """The blocks that are in the database, by their first byte.

        Forgets the first incomplete block and all blocks after it, which may replace its rows.
        """
        done: dict[int, Done] = {}
        for block in await self.recorded():
            if not await self._is_complete(block):
                await self.forget_from(block.start)
                break
            done[block.start.byte] = block
        return done

    async def superseded(self) -> int | None:
        """Forget unfinished loads of this file with other content.

        Returns the last line that they reached, or None without such a load.
        """
        origin = (self._source.origin, self._fingerprint)
        stale = await self.database.fetch(SQL["superseded"], origin)
        for key, _ in stale:
            await self.delete("forget", (key,))
        return max((line for _, line in stale), default=None)

    async def _is_complete(self, block: Done) -> bool:
        """Whether its rows are still in the table and its rejects in the log."""
        statement = self._source.table.sql["count_between"]
        ((rows,),) = await self.database.fetch(statement, (block.lowest_id, block.highest_id))
        lines = (self._fingerprint, block.start.line, block.end.line)
        ((rejects,),) = await self.database.fetch(SQL["count_rejects"], lines)
        return bool(rows >= block.ids and rejects == block.rejected)
