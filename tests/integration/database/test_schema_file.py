"""sql/schema.sql has the tables that the migrations make."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

import sql
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.settings import Settings
from tests.support import engine


@pytest.fixture
async def from_file(settings: Settings) -> AsyncIterator[Settings]:
    """A database with the tables of the file."""
    name = f"{settings.mysql_database}_from_file"
    own = msgspec.structs.replace(settings, mysql_database=name)
    await engine.create_database(own)
    async with connect(own) as database, database.transaction() as transaction:
        for statement in sql.statements("schema").values():
            await transaction.execute(statement)
    yield own
    await engine.drop_database(own)


async def test_the_schema_file_equals_the_migrations(
    scratch: Settings, from_file: Settings
) -> None:
    async with connect(scratch) as migrated, connect(from_file) as created:
        await migrate(migrated)
        expected = await engine.definitions(migrated)
        assert await engine.definitions(created) == expected
    assert expected.keys() == sql.statements("schema").keys()


def test_each_statement_of_the_schema_file_is_named_after_its_table() -> None:
    for name, statement in sql.statements("schema").items():
        assert statement.startswith(f"CREATE TABLE {name} (")
