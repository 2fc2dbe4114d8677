"""Transactions: errors, deadlines, deadlocks, lost connections."""

from __future__ import annotations

import asyncio

import pytest

from service.core.database.connect import connect
from service.core.database.driver import Connection
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import (
    DatabaseError,
    DataError,
    DuplicateError,
    MissingTableError,
    StaleParentError,
)
from service.core.settings import Settings
from tests.support.departments import ADD, add, names

HIRE = (
    "INSERT INTO hired_employees (name, `datetime`, department_id, job_id) VALUES (%s, %s, %s, %s)"
)


async def test_a_transaction_is_written_at_its_end(database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.execute(ADD, (1, "Sales"))
        assert await names(database) == []
    assert await names(database) == ["Sales"]


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, DataError])
async def test_an_error_rolls_back_the_transaction(
    database: Database, error: type[BaseException]
) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD, (1, "Sales"))
        raise error

    with pytest.raises(error):
        await database.run(work)
    assert await names(database) == []


async def test_a_refused_statement_rolls_back_earlier_statements(database: Database) -> None:
    async def work(transaction: Transaction) -> None:
        await transaction.execute(ADD, (1, "Sales"))
        await transaction.execute(ADD, (1, "Legal"))

    with pytest.raises(DuplicateError):
        await database.run(work)
    assert await names(database) == []


@pytest.mark.parametrize(
    ("statement", "parameters", "kind"),
    [
        (ADD, (1, "x" * 256), DataError),
        (ADD, (2**31, "x"), DataError),
        (HIRE, ("x", "2021-02-30T00:00:00", 1, 1), DataError),
        (HIRE, ("x", "0000-00-00T00:00:00", 1, 1), DataError),
        (HIRE, ("x", "2021-01-01T00:00:00", 1, 1), StaleParentError),
        ("SELECT * FROM no_such_table", (), MissingTableError),
        ("SELEC", (), DatabaseError),
    ],
)
async def test_an_error_of_the_server_has_its_class_and_cause(
    database: Database, statement: str, parameters: tuple[object, ...], kind: type[DatabaseError]
) -> None:
    with pytest.raises(DatabaseError) as caught:
        async with database.transaction() as transaction:
            await transaction.execute(statement, parameters)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is not None
    assert str(caught.value.__cause__.args[0]) in str(caught.value)
    assert "departments" not in str(caught.value)


async def test_every_connection_is_utc_strict_and_utf8mb4(database: Database) -> None:
    ((zone, mode, charset),) = await database.fetch(
        "SELECT @@session.time_zone, @@session.sql_mode, @@session.character_set_connection"
    )
    assert (zone, charset) == ("+00:00", "utf8mb4")
    assert {"STRICT_ALL_TABLES", "NO_ZERO_DATE", "NO_ZERO_IN_DATE"} <= set(mode.split(","))


@pytest.mark.parametrize(
    "default",
    [
        "time_zone = '+05:00'",
        "sql_mode = ''",
        "group_concat_max_len = 4",
        "foreign_key_checks = 0",
        "unique_checks = 0",
        "sql_select_limit = 1",
    ],
)
async def test_defaults_that_would_change_results_have_no_effect(
    database: Database, migrated: Settings, monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    """An operator may set them for a while, for example to import data; sessions inherit them."""
    name, set_up = default.split(maxsplit=1)[0], Connection._set_up

    async def inherit(self: Connection) -> None:
        await self.query(f"SET SESSION {default}")
        await set_up(self)

    ((usual,),) = await database.fetch(f"SELECT @@session.{name}")
    monkeypatch.setattr(Connection, "_set_up", inherit)
    async with connect(migrated) as other:
        assert await other.fetch(f"SELECT @@session.{name}") == [(usual,)]
        with pytest.raises(StaleParentError):
            async with other.transaction() as transaction:
                await transaction.execute(HIRE, ("x", "2021-07-27T16:02:08", 77, 77))
        assert len(await other.fetch("SELECT 1 UNION ALL SELECT 2")) == 2


async def test_a_transaction_sees_commits_of_other_transactions(
    database: Database, single: Database
) -> None:
    async with single.snapshot(30):
        pass
    async with single.transaction() as transaction:
        await transaction.fetch("SELECT COUNT(*) FROM departments")
        await add(database, 1, "Sales")
        assert await transaction.fetch("SELECT COUNT(*) FROM departments") == [(1,)]


async def test_a_snapshot_sees_one_moment_and_writes_nothing(database: Database) -> None:
    await add(database, 1, "Sales")
    async with database.snapshot(30) as snapshot:
        await add(database, 2, "Legal")
        assert await snapshot.fetch("SELECT COUNT(*) FROM departments") == [(1,)]
        with pytest.raises(DatabaseError):
            await snapshot.execute(ADD, (3, "Audit"))
    assert await names(database) == ["Sales", "Legal"]
