"""Staged restores by a login that lacks a right: nothing is lost, and the message helps."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.core.backups.staged import choice
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import DatabaseError
from service.core.settings import Settings
from tests.support import engine
from tests.support.backup_files import EMPLOYEES, records
from tests.support.logins import new_login
from tests.support.restores import contents, fill, put
from tests.support.tcp_proxy import Proxy

RIGHTS = "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES, TRIGGER"
TRIGGER = "CREATE TRIGGER of_a_dba BEFORE INSERT ON hired_employees FOR EACH ROW SET NEW.name = 'A'"


@pytest.fixture
async def login(
    database: Database, migrated: Settings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Settings]:
    """Settings of a login without rights; restores of more than 20 rows are staged."""
    monkeypatch.setattr(choice, "LARGE_ROWS", 20)
    await fill(database)
    async with new_login(database, engine.through(proxy, migrated)) as own:
        yield own


async def restored(database: Database, login: Settings, *missing: str) -> list[str]:
    """The steps of a restore by a login that has all rights but these."""
    rights = ", ".join(right for right in RIGHTS.split(", ") if right not in missing)
    await database.fetch(f"GRANT {rights} ON {login.mysql_database}.* TO {login.mysql_user}")
    steps = list[str]()
    async with connect(login) as own:
        await put(own, (EMPLOYEES, records(EMPLOYEES, 30)[:25]), steps=steps)
    return steps


async def test_with_all_rights_it_is_staged(database: Database, login: Settings) -> None:
    assert "swap" in await restored(database, login)


async def test_triggers_that_the_login_cannot_see_survive(
    database: Database, login: Settings
) -> None:
    await database.fetch(TRIGGER)
    try:
        assert "swap" not in await restored(database, login, "TRIGGER")
        shown = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = %s"
        assert await database.fetch(shown, (login.mysql_database,)) == [("of_a_dba",)]
    finally:
        await database.fetch("DROP TRIGGER IF EXISTS of_a_dba")


async def test_a_login_that_may_change_no_table_is_advised_to_run_doctor(
    database: Database, login: Settings
) -> None:
    before = await contents(database)
    with pytest.raises(DatabaseError, match=r"lacks a right.*doctor"):
        await restored(database, login, "ALTER")
    assert await contents(database) == before


async def test_grants_of_others_stay(database: Database, login: Settings) -> None:
    table = f"{login.mysql_database}.hired_employees"
    await database.fetch(f"GRANT SELECT, UPDATE (name) ON {table} TO {login.mysql_user}")
    grants, steps = f"SHOW GRANTS FOR {login.mysql_user}", list[str]()
    before = await database.fetch(grants)
    await put(database, (EMPLOYEES, records(EMPLOYEES, 30)[:25]), steps=steps)
    assert "swap" in steps
    assert await database.fetch(grants) == before
    async with connect(login) as own:
        assert await own.fetch("SELECT COUNT(*) FROM hired_employees") == [(25,)]
        await own.fetch("UPDATE hired_employees SET name = 'Ana' WHERE id = 1")
        with pytest.raises(DatabaseError):
            await own.fetch("UPDATE hired_employees SET job_id = 2 WHERE id = 1")
