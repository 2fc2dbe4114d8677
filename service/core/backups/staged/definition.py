"""The parts of a table's definition that a restore adds later, as the server shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import sql
from service.core.database.transactions import Database

SQL = sql.statements("staged_restores")

_INDEX = re.compile(r"(?:\w+ )?(?:KEY|INDEX) (`[^`]+`) ")
_FOREIGN_KEY = re.compile(r"CONSTRAINT (`[^`]+`) (FOREIGN KEY .+)")
_CHECK = re.compile(r"CONSTRAINT (`[^`]+`) CHECK ")
_REFERENCES = re.compile(r"(REFERENCES (?:`[^`]+`\.)?)`([^`]+)`")
_NEXT_ID = re.compile(r"AUTO_INCREMENT ?= ?(\d+)")


@dataclass(frozen=True)
class Definition:
    """Parts of a table.

    indexes, foreign_keys: the text of each by its name, which is in backticks; the primary key is
    no index here. checks: the names of CHECKs; next_id: the id that the server generates next.
    """

    indexes: dict[str, str]
    foreign_keys: dict[str, str]
    checks: list[str]
    next_id: int

    @classmethod
    def parse(cls, text: str) -> Definition:
        """The parts in the text of SHOW CREATE TABLE."""
        body, _, options = text.partition("\n)")
        lines = [line.strip().removesuffix(",").strip() for line in body.splitlines()[1:]]
        next_id = _NEXT_ID.search(options)
        return cls(
            {found[1]: line for line in lines if (found := _INDEX.match(line))},
            {found[1]: found[2] for line in lines if (found := _FOREIGN_KEY.match(line))},
            [found[1] for line in lines if (found := _CHECK.match(line))],
            int(next_id[1]) if next_id else 1,
        )


async def definition_of(database: Database, name: str) -> Definition:
    """The definition of a table; MissingTableError."""
    statement = sql.with_names(SQL["definition"], name=name)
    # In a transaction: at BEGIN, Galera waits for what other nodes committed, but not at SHOW.
    ((_, text),) = await database.run(lambda transaction: transaction.fetch(statement))
    return Definition.parse(text)


def referring_to(reference: str, names: Mapping[str, str]) -> str:
    """The text of a foreign key, with the names of other tables."""
    return _REFERENCES.sub(lambda found: f"{found[1]}`{names.get(found[2], found[2])}`", reference)
