"""What pending migrations would do: named before they run, and true on the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest

import sql
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.pending import (
    COPIES,
    INDEXES,
    METADATA,
    Change,
    Kind,
    kind_of,
    pending_changes,
)
from service.core.database.statements import SQL
from service.core.database.transactions import Database
from service.core.errors import DatabaseError, NewerSchemaError
from service.core.settings import Settings
from tests.support import engine, program
from tests.support.processes import free_port
from tests.support.releases import RELEASES
from tests.support.tcp_proxy import Proxy

NAMES = [f"{version:04} {name}" for version, name, _ in sql.migrations()]
FIRST = RELEASES[0]
COMMANDS = [
    "service serve",
    "service migrate",
    "service migrate --check",
    "service backup",
    f"service restore {FIRST.backups[0]}",
    "loader",
]


@pytest.fixture
async def old(scratch: Settings) -> AsyncIterator[Database]:
    """The database of the first released version, with its rows."""
    async with connect(scratch) as database:
        await FIRST.create(database)
        await FIRST.insert(database)
        yield database


async def test_an_empty_database_needs_each_migration_and_stays_empty(scratch: Settings) -> None:
    async with connect(scratch) as database:
        assert sorted({change.migration for change in await pending_changes(database)}) == NAMES
        assert await database.fetch("SHOW TABLES") == []


async def test_an_index_on_a_table_with_rows_says_how_many_it_reads(old: Database) -> None:
    changes = await pending_changes(old)
    (index,) = [change for change in changes if change.table == "rejects"]
    assert (index.migration, index.kind, index.rows) == ("0005 rejects_expiry", INDEXES, 3)
    shown = "0005 rejects_expiry: adds an index to rejects (3 rows, about 1 s); "
    assert index.describe().startswith(shown)
    await migrate(old)
    assert await pending_changes(old) == []


async def test_the_check_only_reads(old: Database, scratch: Settings, proxy: Proxy) -> None:
    async with connect(engine.through(proxy, scratch)) as database:
        assert await pending_changes(database)
    sent = proxy.sent.upper()
    assert b"SELECT COUNT(*) FROM REJECTS" in sent
    assert not any(word in sent for word in (b"INSERT", b"CREATE", b"UPDATE", b"ALTER", b"DELETE"))


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("CREATE INDEX extra ON rejects (origin)", INDEXES),
        ("ALTER TABLE rejects ADD COLUMN extra VARCHAR(10) NOT NULL DEFAULT 'x'", METADATA),
        ("ALTER TABLE rejects ADD COLUMN extra INT NULL", METADATA),
        ("ALTER TABLE rejects ADD COLUMN extra DECIMAL(10, 2) NULL", METADATA),
        ("ALTER TABLE rejects ADD COLUMN extra INT AS (position + 1) STORED", COPIES),
        ("ALTER TABLE rejects ADD COLUMN extra INT NULL CHECK (extra > 0)", COPIES),
        ("ALTER TABLE rejects MODIFY position INT NOT NULL", COPIES),
        ("ALTER TABLE rejects ADD CONSTRAINT extra CHECK (position >= 0)", COPIES),
    ],
)
async def test_the_server_confirms_what_waits(
    old: Database, settings: Settings, statement: str, kind: Kind
) -> None:
    """MySQL refuses a statement if its ALGORITHM or LOCK is not possible."""
    assert kind_of(statement) == (kind, "rejects")
    if settings.embedded:
        pytest.skip("seekdb has neither clause")
    separator = " " if kind is INDEXES else ", "
    clauses = {INDEXES: "ALGORITHM=INPLACE LOCK=NONE", METADATA: "ALGORITHM=INSTANT"}
    wanted = clauses.get(kind, "ALGORITHM=INPLACE, LOCK=NONE")
    async with old.session(30) as session:
        if kind is COPIES:
            if "MariaDB" in str(await session.fetch("SELECT VERSION()")):
                pytest.skip("MariaDB copies in fewer cases")
            with pytest.raises(DatabaseError, match=r"error 184[56]"):
                await session.execute(f"{statement}{separator}{wanted}")
        else:
            await session.execute(f"{statement}{separator}{wanted}")


def test_on_galera_all_writes_wait() -> None:
    change = Change("0009 extra", INDEXES, "jobs", 5)
    assert change.describe().endswith("(5 rows, about 1 s); nothing waits")
    change.blocks_cluster = True
    assert change.describe().endswith("(5 rows, about 1 s); all writes of the cluster wait")


async def test_newer_tables_are_refused_by_every_command(scratch: Settings) -> None:
    async with connect(scratch) as database:
        await migrate(database)
        async with database.transaction() as transaction:
            await transaction.execute(SQL["record_migration"], (9999, "from_the_future"))
        with pytest.raises(NewerSchemaError):
            await migrate(database)
    variables = engine.environment(scratch) | {"API_PASS": "secret"}
    runs = await asyncio.gather(
        *(program.run(*command.split(), **variables) for command in COMMANDS)
    )
    for command, ended in zip(COMMANDS, runs, strict=True):
        assert ended.code == 2, command
        assert ended.err.count("\n") == 1, ended.err
        assert "migration 9999; this version knows" in ended.err


async def test_the_exit_code_says_whether_something_is_pending(scratch: Settings) -> None:
    check = partial(program.run, "service", "migrate", "--check")
    before = await check(**engine.environment(scratch))
    assert before.code == 1
    assert before.out.startswith("0001 tables: creates departments; ")
    async with connect(scratch) as database:
        await migrate(database)
    after = await check(**engine.environment(scratch))
    assert (after.code, after.out) == (0, "Up to date.\n")
    away = msgspec.structs.replace(
        scratch, mysql_host="127.0.0.1", mysql_port=free_port(), mysql_wait=1
    )
    failed = await check(**engine.environment(away))
    assert (failed.code, failed.err.count("\n")) == (2, 1)


async def test_after_going_back_the_migrations_are_applied_again(scratch: Settings) -> None:
    async with connect(scratch) as database:
        await migrate(database)
        before = await engine.definitions(database)
        async with database.transaction() as transaction:
            await transaction.execute("DELETE FROM schema_migrations WHERE version > 3")
        assert await migrate(database) == NAMES[3:]
        assert await engine.definitions(database) == before
