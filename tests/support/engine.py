"""The database server under test, and separate databases on it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pymysql

from service.core.database import embedded
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support.processes import database_folder
from tests.support.tcp_proxy import Proxy

IMAGE = "mysql:9.7"
ROOT_PASSWORD = "root-password"
READY_SECONDS = 120
SETUP_SECONDS = 300
"""To drop a database. seekdb needs longer than a request may take after an overload of minutes:
it still writes out what it has in memory."""
EMBEDDED = "embedded:"


@contextmanager
def start() -> Iterator[str]:
    """A server for the tests: `embedded:<folder>` or a mysql:// URL."""
    chosen = os.environ.get("TEST_MYSQL_URL", "")
    if chosen and chosen != "embedded":
        yield chosen
    elif not chosen and has_container_engine():
        with container() as url:
            yield url
    else:
        with database_folder() as folder:
            yield from _embedded(folder / "seekdb")


def describe(server: str) -> str:
    """The server, for the first lines of a test run."""
    if server.startswith(EMBEDDED):
        return "embedded seekdb"
    return f"MySQL at {urlsplit(server).hostname}:{urlsplit(server).port}"


def settings(server: str, name: str) -> Settings:
    """Settings of the database `name` on a server."""
    if server.startswith(EMBEDDED):
        folder = Path(server.removeprefix(EMBEDDED))
        return Settings(embedded_dir=folder, mysql_database=name, mysql_pool_size=8)
    url = urlsplit(server)
    return Settings(
        mysql_host=url.hostname,
        mysql_port=url.port or 3306,
        mysql_user=url.username or "root",
        mysql_password=url.password or "",
        mysql_database=name,
        mysql_pool_size=8,
    )


def environment(settings: Settings) -> dict[str, str]:
    """Settings as environment variables of a process."""
    return {
        name.upper(): str(value)
        for name, value in msgspec.structs.asdict(settings).items()
        if value is not None
    }


async def create_database(settings: Settings) -> None:
    """Create an empty database, and drop one of the same name first."""
    await _on_server(settings, "DROP DATABASE IF EXISTS {}", "CREATE DATABASE {}")


async def drop_database(settings: Settings) -> None:
    """Drop the database."""
    await _on_server(settings, "DROP DATABASE IF EXISTS {}")


async def _on_server(settings: Settings, *statements: str) -> None:
    on_server = msgspec.structs.replace(settings, mysql_database="information_schema")
    async with connect(on_server) as database, database.transaction(SETUP_SECONDS) as transaction:
        for statement in statements:
            await transaction.execute(statement.format(settings.mysql_database))


async def definitions(database: Database) -> dict[str, str]:
    """The CREATE TABLE statement of each table, as the server shows it."""
    ((own,),) = await database.fetch("SELECT DATABASE()")
    names = [name for (name,) in await database.fetch("SHOW TABLES")]
    shown = {name: (await database.fetch(f"SHOW CREATE TABLE {name}"))[0][1] for name in names}
    # seekdb shows the database of a referenced table.
    return {name: statement.replace(f"`{own}`.", "") for name, statement in shown.items()}


async def definitions_without_ids(database: Database) -> dict[str, str]:
    """The same without the next id, which depends on the rows."""
    shown = await definitions(database)
    return {name: re.sub(r" AUTO_INCREMENT ?= ?\d+", "", text) for name, text in shown.items()}


@asynccontextmanager
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    """A proxy in front of the server, on a TCP port. The embedded server has none itself."""
    if not settings.embedded:
        reach = partial(asyncio.open_connection, settings.mysql_host, settings.mysql_port)
        async with Proxy.to(reach) as opened:
            yield opened
        return
    async with embedded.running(settings.embedded_dir) as server:
        reach = partial(asyncio.open_unix_connection, server.options["unix_socket"])
        async with Proxy.to(reach) as opened:
            yield opened


def through(proxy: Proxy, settings: Settings) -> Settings:
    """Settings of the same database through the proxy."""
    user = "root" if settings.embedded else settings.mysql_user
    return msgspec.structs.replace(
        settings, mysql_host="127.0.0.1", mysql_port=proxy.port, mysql_user=user
    )


def has_container_engine() -> bool:
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    client.close()
    return True


@contextmanager
def container(
    *, durable: bool = False, files: Mapping[str, bytes] | None = None, options: Sequence[str] = ()
) -> Iterator[str]:
    """A MySQL server in a container. If durable, its data is on disk with the default settings."""
    from testcontainers.core.container import DockerContainer

    server = DockerContainer(IMAGE).with_env("MYSQL_ROOT_PASSWORD", ROOT_PASSWORD)
    server.with_exposed_ports(3306).with_command(list(options))
    for path, content in (files or {}).items():
        server.with_copy_into_container(content, path)
    if not durable:
        server.with_tmpfs_mount("/var/lib/mysql")
    with server:
        host, port = server.get_container_host_ip(), int(server.get_exposed_port(3306))
        wait_for_mysql(host, port)
        yield f"mysql://root:{ROOT_PASSWORD}@{host}:{port}"


def wait_for_mysql(host: str, port: int) -> None:
    """Wait until the server answers a query over TCP. It restarts once during its setup."""
    end = time.monotonic() + READY_SECONDS
    while True:
        try:
            with (
                pymysql.connect(
                    host=host, port=port, user="root", password=ROOT_PASSWORD
                ) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute("SELECT 1")
                return
        except pymysql.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _embedded(folder: Path) -> Iterator[str]:
    import pylibseekdb

    instance = pylibseekdb.open(str(folder))
    try:
        yield f"{EMBEDDED}{folder}"
    finally:
        instance.close()
