"""Logins of the database, for tests of rights."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec

from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.settings import Settings
from tests.support.waiting import until

SECONDS = 20


@asynccontextmanager
async def new_login(database: Database, settings: Settings) -> AsyncIterator[Settings]:
    """The settings of a login without rights, which is dropped at the end."""
    name, password = f"login_{secrets.token_hex(8)}", secrets.token_hex(8)
    await _repeated(database, f"CREATE USER IF NOT EXISTS {name} IDENTIFIED BY '{password}'")
    try:
        yield msgspec.structs.replace(settings, mysql_user=name, mysql_password=password)
    finally:
        await _repeated(database, f"DROP USER IF EXISTS {name}")


async def _repeated(database: Database, statement: str) -> None:
    """seekdb refuses the statement while another session changes a login."""

    async def is_done() -> bool:
        with suppress(DatabaseError):
            await database.fetch(statement)
            return True
        return False

    await until(is_done, SECONDS)
