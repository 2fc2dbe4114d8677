"""Doctor on a real database: each fault is found, named, and comes with what to do."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

import sql
from service.cli.doctor import server_checks
from service.cli.doctor.servers import Reached, reached
from service.core.backups.staged.guard import add_guards
from service.core.backups.staged.leftovers import tidy
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.settings import Settings
from tests.integration.doctor.conftest import Doctor, execute, found, wrong
from tests.support import engine
from tests.support.tcp_proxy import Proxy


@pytest.fixture
async def server(migrated: Settings, proxy: Proxy) -> AsyncIterator[Reached]:
    """The server, as the checks see it: one session."""
    settings = engine.through(proxy, migrated)
    async with reached(settings, settings.servers[0], reads=False) as server:
        yield server


def contents(folder: Path) -> set[Path]:
    """Everything in a folder, at any depth."""
    return set(folder.rglob("*"))


async def names(settings: Settings) -> set[str]:
    async with connect(settings) as database:
        return {name for (name,) in await database.fetch("SHOW TABLES")}


async def test_a_migrated_database_has_no_error(migrated: Settings, doctor: Doctor) -> None:
    report = await doctor(migrated)
    assert wrong(report) == set()
    assert report.healthy
    checks = {one.check for one in report.findings}
    assert checks >= {"version", "clock", "sql_mode", "packets", "privileges", "migrations"}
    assert checks >= {"tables", "charset", "limits"}
    assert ("tls" in checks) is not migrated.embedded


async def test_pending_migrations_are_listed_and_nothing_is_changed(
    scratch: Settings, doctor: Doctor, tmp_path: Path
) -> None:
    report = await doctor(scratch)
    assert wrong(report) == {"migrations"}
    finding = found(report, "migrations")
    assert f"{len(sql.migrations())} pending: 0001 tables" in finding.text
    assert "hirebase migrate" in finding.remedy
    assert await names(scratch) == set()
    assert contents(tmp_path) == set()
    async with connect(scratch) as database:
        await migrate(database)
    assert wrong(await doctor(scratch)) == set()


async def test_tables_of_a_newer_program_are_found(scratch: Settings, doctor: Doctor) -> None:
    async with connect(scratch) as database:
        await migrate(database)
    await execute(scratch, "INSERT INTO schema_migrations (version, name) VALUES (9999, 'later')")
    report = await doctor(scratch)
    assert wrong(report) == {"migrations"}
    assert "9999" in found(report, "migrations").text


async def test_a_missing_table_is_named(scratch: Settings, doctor: Doctor) -> None:
    async with connect(scratch) as database:
        await migrate(database)
    await execute(scratch, "DROP TABLE loads")
    report = await doctor(scratch)
    assert wrong(report) == {"tables"}
    assert "loads" in found(report, "tables").text


async def test_a_table_with_another_collation_is_named(scratch: Settings, doctor: Doctor) -> None:
    async with connect(scratch) as database:
        await migrate(database)
    await execute(
        scratch,
        "DROP TABLE loads",
        "CREATE TABLE loads (x VARCHAR(9)) DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_general_ci",
    )
    report = await doctor(scratch)
    assert wrong(report) == {"charset"}
    finding = found(report, "charset")
    assert "loads has texts in utf8mb4_general_ci" in finding.text
    assert "ALTER TABLE `loads` CONVERT TO CHARACTER SET utf8mb4" in finding.remedy
    await execute(scratch, finding.remedy.partition(": ")[2])
    assert wrong(await doctor(scratch)) == set()


async def test_a_restore_that_keeps_writers_away_is_a_warning(
    scratch: Settings, doctor: Doctor
) -> None:
    async with connect(scratch) as database:
        await migrate(database)
        await add_guards(database, ["jobs"])
        finding = found(await doctor(scratch), "restores")
        assert (finding.status, "jobs" in finding.text) == ("warning", True)
        await tidy(database)
    assert found(await doctor(scratch), "restores").status == "ok"


async def test_another_default_character_set_is_a_warning(
    scratch: Settings, doctor: Doctor
) -> None:
    name = scratch.mysql_database
    await execute(scratch, f"ALTER DATABASE `{name}` CHARACTER SET binary")
    finding = found(await doctor(scratch), "charset")
    assert finding.status == "warning"
    assert "binary" in finding.text
    await execute(scratch, finding.remedy.partition(": ")[2])
    assert found(await doctor(scratch), "charset").status == "ok"


async def test_a_server_that_is_not_strict_is_a_warning(migrated: Settings, doctor: Doctor) -> None:
    async with connect(migrated) as database:
        ((before,),) = await database.fetch("SELECT @@GLOBAL.sql_mode")
    await execute(migrated, "SET GLOBAL sql_mode = ''")
    try:
        finding = found(await doctor(migrated), "sql_mode")
        assert (finding.status, "not strict" in finding.text) == ("warning", True)
        await execute(migrated, finding.remedy.partition(": ")[2].partition(", and the")[0])
        assert found(await doctor(migrated), "sql_mode").status == "ok"
    finally:
        await execute(migrated, f"SET GLOBAL sql_mode = '{before}'")


async def test_a_session_that_loses_its_mode_is_an_error(server: Reached) -> None:
    await server.fetch("SET SESSION sql_mode = ''")
    assert (await server_checks.sql_mode(server)).status == "error"


@pytest.mark.parametrize(("seconds", "status"), [(0, "ok"), (10, "warning"), (-1000, "error")])
async def test_clocks_that_differ_are_found(server: Reached, seconds: int, status: str) -> None:
    await server.fetch(f"SET timestamp = UNIX_TIMESTAMP(NOW(6)) + {seconds}")
    finding = await server_checks.clock(server)
    assert finding.status == status, finding.text


async def test_a_wrong_password_names_the_variables_and_shows_none(
    proxy: Proxy, migrated: Settings, doctor: Doctor
) -> None:
    settings = msgspec.structs.replace(
        engine.through(proxy, migrated), mysql_password="not-the-password"
    )
    report = await doctor(settings)
    assert wrong(report) == {"database"}
    finding = found(report, "database")
    assert "Access denied" in finding.text
    assert "MYSQL_PASSWORD" in finding.remedy
    assert b"not-the-password" not in msgspec.json.encode(report)


async def test_a_database_that_does_not_exist_is_named(migrated: Settings, doctor: Doctor) -> None:
    report = await doctor(msgspec.structs.replace(migrated, mysql_database="no_such_database"))
    assert wrong(report) == {"database"}
    finding = found(report, "database")
    assert "no_such_database" in finding.text
    assert ("hirebase migrate" if migrated.embedded else "CREATE DATABASE") in finding.remedy


async def test_a_closed_port_names_the_variables(migrated: Settings, doctor: Doctor) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        report = await doctor(
            msgspec.structs.replace(migrated, mysql_host="127.0.0.1", mysql_port=port)
        )
    assert wrong(report) == {"database"}
    assert f"127.0.0.1:{port}" in found(report, "database").text
    assert "MYSQL_PORT" in found(report, "database").remedy


async def test_each_of_several_servers_is_checked(
    proxy: Proxy, migrated: Settings, doctor: Doctor
) -> None:
    """One is up, one is down; replicas are checked as well, without their tables."""
    here = f"127.0.0.1:{proxy.port}"
    settings = msgspec.structs.replace(
        engine.through(proxy, migrated), mysql_host=f"{here},127.0.0.1:1", mysql_read_host=here
    )
    report = await doctor(settings)
    answers = [one for one in report.findings if one.check == "database"]
    assert [one.status for one in answers] == ["ok", "error", "ok"]
    assert len([one for one in report.findings if one.check == "clock"]) == 2
    assert found(report, "migrations").status == "ok"


async def test_tls_with_an_unreadable_authority_names_the_variable(
    proxy: Proxy, migrated: Settings, doctor: Doctor, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(
        engine.through(proxy, migrated), mysql_ssl_ca=tmp_path / "missing.pem"
    )
    report = await doctor(settings)
    assert wrong(report) == {"database"}
    text = found(report, "database").text
    assert ("MYSQL_SSL_CA" in text, "Errno" in text) == (True, False)


async def test_a_folder_without_a_database_is_left_alone(tmp_path: Path, doctor: Doctor) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for embedded in (folder, tmp_path / "missing"):
        report = await doctor(Settings(embedded_dir=embedded))
        assert wrong(report) == {"database"}
        assert "hirebase migrate" in found(report, "database").remedy
    assert contents(tmp_path) == {folder}


async def test_too_few_connections_and_short_packets_are_errors(server: Reached) -> None:
    variables = server.variables | {"max_connections": "5", "max_allowed_packet": str(1 << 20)}
    small = Reached(server.name, server.fetch, server.version, variables, writes=True)
    assert server_checks.connections(Settings(), small).status == "error"
    assert server_checks.packets(small).status == "error"
    assert server_checks.packets(server).status == "ok"
