"""Restores a file, and kills itself with -9 at an event: `python -m … FILE EVENT`.

Events are the reports of a restore, and each moment before and after a change of a table. A change
that waits for a lock is tried several times, and has two events all the same, so that each restore
has equally many. Without a kill (event 0), the program prints how many there were.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

from service.core.backups.restore import restore
from service.core.backups.sources import opened
from service.core.backups.staged import changes
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import ContentionError
from service.core.progress import Step
from service.core.settings import Settings
from tests.support.restores import make_small


class Events:
    """Counts events, and kills the process at one of them."""

    def __init__(self, last: int):
        self._last, self._numbers = last, count(1)
        self.seen = 0

    def __call__(self, _step: Step | None = None) -> None:
        self.seen = next(self._numbers)
        if self.seen == self._last:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(path: Path, last: int) -> None:
    events, execute, waiting = Events(last), changes._execute, set[str]()

    async def followed(database: Database, statement: str) -> None:
        if statement not in waiting:
            events()
        try:
            await execute(database, statement)
        except ContentionError:
            waiting.add(statement)
            raise
        waiting.discard(statement)
        events()

    changes._execute = followed
    make_small()
    with path.open("rb") as file:
        async with (
            connect(Settings.from_environment(os.environ)) as database,
            opened(file) as sources,
        ):
            await restore(database, sources, "replace", progress=events)
    sys.stdout.write(f"{events.seen}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
