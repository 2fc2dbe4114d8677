"""Checks that the login may do what the program does."""

from __future__ import annotations

import re
from collections.abc import Iterable

from service.cli.doctor.findings import Finding, error, ok
from service.cli.doctor.servers import SQL, Reached
from service.core.settings import Settings

NEEDED = (
    *("SELECT", "INSERT", "UPDATE", "DELETE"),
    *("CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "TRIGGER"),
)
"""Those of the first line for rows; the others for migrations and for restores of large tables.

TRIGGER only shows which tables have triggers."""
_grant = re.compile(
    r"(?P<verb>GRANT|REVOKE) (?P<privileges>.+?) ON (?:TABLE )?"
    r"(?P<database>\*|`[^`]+`|[^ .]+)\.(?P<table>\*|`[^`]+`|[^ .]+) (?:TO|FROM) "
)


async def privileges(settings: Settings, server: Reached, tables: Iterable[str]) -> Finding:
    """Check the grants of the login on the database, or on each of its tables."""
    grants = [line for (line,) in await server.fetch(SQL["grants"])]
    ((login,),) = await server.fetch(SQL["login"])
    database = settings.mysql_database
    missing = [one for one in NEEDED if one not in held(grants, database, tables)]
    if missing:
        user, _, host = login.rpartition("@")
        return error(
            "privileges",
            f"{login} lacks {', '.join(missing)} on {database}",
            f"As an administrator: GRANT {', '.join(missing)} ON `{database}`.* TO "
            f"'{user}'@'{host}'",
        )
    return ok("privileges", f"{login} has all that hirebase needs on {database}")


def held(grants: Iterable[str], database: str, tables: Iterable[str]) -> set[str]:
    """The needed privileges that lines of SHOW GRANTS give on all tables of a database."""
    everywhere: set[str] = set()
    by_table: dict[str, set[str]] = {table: set() for table in tables}
    for found in filter(None, map(_grant.match, grants)):
        if not _covers(found["database"], database):
            continue
        table, names = found["table"].strip("`"), _names(found["privileges"])
        if found["verb"] == "REVOKE":
            everywhere -= names
        elif table == "*":
            everywhere |= names
        elif table in by_table:
            by_table[table] |= names
    return everywhere | (set.intersection(*by_table.values()) if by_table else set())


def _names(text: str) -> set[str]:
    """The needed privileges in a list; a privilege on columns only, `SELECT (id)`, is none."""
    names = {name.strip() for name in text.split(",")}
    return set(NEEDED) if names & {"ALL", "ALL PRIVILEGES"} else names & set(NEEDED)


def _covers(pattern: str, database: str) -> bool:
    """Whether the name of a database in a grant, where _ and % are wildcards, fits."""
    if pattern == "*":
        return True
    parts = re.findall(r"\\.|.", pattern.strip("`"))
    wildcards = {"%": ".*", "_": "."}
    fits = "".join(wildcards.get(part, re.escape(part.removeprefix("\\"))) for part in parts)
    return re.fullmatch(fits, database) is not None
