"""What doctor checks on each server: version, TLS, clock, modes, limits, durability."""

from __future__ import annotations

import ipaddress
import re
import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from service.cli.doctor.findings import CERTIFICATE_DAYS, Finding, error, ok, size, warning
from service.cli.doctor.servers import SQL, Reached
from service.core.database.driver import Cursor
from service.core.database.servers.health import engine_of
from service.core.settings import Settings

OLDEST = {"MariaDB": (10, 11), "MySQL": (8, 0, 16)}
"""The oldest versions that hirebase supports. MySQL 8.0.15 ignores CHECK."""
CLOCK_WARNING, CLOCK_ERROR = 2.0, 60.0
"""Seconds between two clocks."""
STRICT = {"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"}
SPARE_CONNECTIONS = 2
"""What a process opens besides its pool."""
DURABLE = {"innodb_flush_log_at_trx_commit": "1", "sync_binlog": "1"}


async def server_checks(
    settings: Settings, server: Reached, host: str | None
) -> AsyncIterator[Finding]:
    """Check a server; host: None if it is the embedded one, which hirebase configures itself."""
    yield version(server)
    if host is not None:
        yield await tls(server, host)
        yield connections(settings, server)
        yield durability(server)
    yield await clock(server)
    yield await sql_mode(server)
    yield packets(server)


def version(server: Reached) -> Finding:
    """Check that hirebase supports the engine and its version."""
    engine = engine_of(server.version)
    number = tuple(map(int, re.findall(r"\d+", server.version)[:3]))
    text = f"{server.name} is {engine}, version {server.version}"
    if number < (oldest := OLDEST.get(engine, ())):
        return error("version", text, f"Update it to {'.'.join(map(str, oldest))} or newer.")
    return ok("version", text)


async def tls(server: Reached, host: str) -> Finding:
    """Check that the connection is encrypted, and that the certificate stays valid for a while."""
    found: dict[str, str] = dict(await server.fetch(SQL["tls"]))
    if not found.get("Ssl_version"):
        if _is_local(host):
            return ok("tls", f"{server.name}: not encrypted, on this machine")
        text = f"{server.name}: the connection is not encrypted, and the server is not checked."
        return warning("tls", text, "Set MYSQL_SSL_CA to the authority of its certificate.")
    text = f"{server.name}: {found['Ssl_version']}, certificate checked with MYSQL_SSL_CA"
    days = _days_left(found.get("Ssl_server_not_after", ""))
    if days is not None and days < CERTIFICATE_DAYS:
        return warning("tls", f"{text}; it expires in {days:.0f} days", "Renew the certificate.")
    return ok("tls", text)


async def clock(server: Reached) -> Finding:
    """Compare the clock of the server with that of this program."""
    before = time.time()
    ((moment,),) = await server.fetch(SQL["clock"])
    after = time.time()
    server_time = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    # The server read its clock at some time between the two.
    apart = max(before - server_time, server_time - after, 0.0)
    text = f"{server.name}: {apart:.1f} s from the clock of this program"
    remedy = "Synchronise the clocks of both machines (NTP)."
    if apart >= CLOCK_ERROR:
        return error("clock", text, remedy)
    return warning("clock", text, remedy) if apart >= CLOCK_WARNING else ok("clock", text)


async def sql_mode(server: Reached) -> Finding:
    """Check the mode that hirebase sets for itself, and the mode that other programs get."""
    ((session,),) = await server.fetch(SQL["session_mode"])
    if not STRICT & set(session.split(",")):
        text = f"{server.name} loses the sql_mode that hirebase sets, so values may be changed."
        remedy = "Connect to the server itself, or to a proxy that keeps the settings of a session."
        return error("sql_mode", text, remedy)
    if not STRICT & set(server.variables.get("sql_mode", "").split(",")):
        text = f"{server.name} is not strict. hirebase sets its own mode; other programs may not."
        remedy = (
            "As an administrator: SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, "
            "',STRICT_TRANS_TABLES'), and the same in the server's configuration."
        )
        return warning("sql_mode", text, remedy)
    return ok("sql_mode", f"{server.name} is strict")


def packets(server: Reached) -> Finding:
    """Check that the server takes the longest statement that hirebase sends."""
    limit = int(server.variables["max_allowed_packet"])
    text = f"{server.name}: max_allowed_packet is {size(limit)}"
    if limit <= Cursor.max_stmt_length:
        return error("packets", text, "Set it to 16 MiB or more.")
    return ok("packets", text)


def connections(settings: Settings, server: Reached) -> Finding:
    """Check that the server has enough connections for one process."""
    limits = [int(server.variables.get(f"max_{name}connections", 0)) for name in ("", "user_")]
    limit = min((one for one in limits if one), default=0)
    needed = settings.mysql_pool_size + SPARE_CONNECTIONS
    text = f"{server.name} accepts {limit}, and a process opens up to {needed}"
    if limit and needed > limit:
        return error("connections", text, "Raise max_connections, or lower MYSQL_POOL_SIZE.")
    return ok("connections", text)


def durability(server: Reached) -> Finding:
    """Check that a commit survives a power failure."""
    lax = [
        f"{name} = {server.variables[name]}"
        for name, value in DURABLE.items()
        if server.variables.get(name, value) != value
        if name != "sync_binlog" or server.variables.get("log_bin") == "ON"
    ]
    if lax:
        text = f"{server.name}: {', '.join(lax)}: a power failure may lose the last commits"
        return warning("durability", text, "Set both to 1, unless a cluster keeps the commits.")
    return ok("durability", f"{server.name}: commits survive a power failure")


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _days_left(text: str) -> float | None:
    """The days until a moment such as `Nov 27 11:39:03 2036 GMT`; None if there is none."""
    return (ssl.cert_time_to_seconds(text) - time.time()) / 86400 if text else None
