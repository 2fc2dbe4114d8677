"""Released versions: their statements, rows, backups and contract, from tests/fixtures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sql
from service.core.database.transactions import Database
from tests.support.contract import Contract

FIXTURES = Path(__file__).parents[1] / "fixtures"
USER, PASSWORD = "admin", "test-password"

REPEATED_KEY = "a key of the released version"
REPEATED = [
    {"name": "Ada Lovelace", "datetime": "2021-07-27T16:02:08Z", "department_id": 1, "job_id": 2},
    {"name": " ", "datetime": "2021-02-30T00:00:00Z", "department_id": 99, "job_id": 2},
]
"""A batch that the released version inserted, and its key."""

INTERRUPTED = "501,Before\n" + (" " * 1000 + "\n") * 3000 + "502,After\n"
"""A file of jobs of which the released version loaded the first row. It has two blocks."""


@dataclass(frozen=True)
class Release:
    """A released version."""

    folder: Path

    @property
    def version(self) -> str:
        return self.folder.name

    @property
    def table_statements(self) -> dict[str, str]:
        """The statements that read or write its tables."""
        own = re.compile(rf"(?s)(?!CREATE).*({'|'.join(self.tables)})")
        return {name: text for name, text in self.statements.items() if own.match(text)}

    @property
    def tables(self) -> set[str]:
        """The names of its tables."""
        return set(re.findall(r"(?m)^INSERT INTO (\w+)", "\n".join(self.rows)))

    @property
    def statements(self) -> dict[str, str]:
        """Each statement that its program sends to the server, by file and name."""
        files = sorted((self.folder / "sql").glob("*.sql"))
        return {
            f"{file.stem}.{name}": statement
            for file in files
            if file.stem not in {"schema", "dry_run"}  # for readers, and for SQLite
            for name, statement in sql.statements(file.stem, file.parent).items()
        }

    @property
    def rows(self) -> list[str]:
        """INSERT statements of its rows, parents first."""
        return (self.folder / "rows.sql").read_text(encoding="utf-8").splitlines()

    @property
    def contract(self) -> Contract:
        """What its OpenAPI document promises."""
        found: Contract = json.loads((self.folder / "openapi.json").read_text(encoding="utf-8"))
        return found

    @property
    def backups(self) -> list[Path]:
        """Backups of the same rows, ZIPs of all tables first."""
        return sorted(self.folder.glob("*.zip")) + sorted(self.folder.glob("*.avro"))

    async def create(self, database: Database) -> None:
        """Create its tables in an empty database, by its own migrations."""
        async with database.transaction() as transaction:
            await transaction.execute(self.statements["database.create_migrations"])
            for _, _, statements in sql.migrations(self.folder / "sql"):
                for statement in statements:
                    await transaction.execute(statement)

    async def insert(self, database: Database) -> None:
        """Insert its rows."""
        async with database.transaction() as transaction:
            for statement in self.rows:
                await transaction.execute(statement)


RELEASES = sorted(
    (Release(folder) for folder in FIXTURES.iterdir() if folder.is_dir()),
    key=lambda release: tuple(map(int, release.version.split("."))),
)
"""Every released version, oldest first."""


async def rows_of(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of each table, except the record of migrations."""
    names = sorted(name for (name,) in await database.fetch("SHOW TABLES"))
    return {
        name: await database.fetch(f"SELECT * FROM {name} ORDER BY 1, 2")
        for name in names
        if name != "schema_migrations"
    }
