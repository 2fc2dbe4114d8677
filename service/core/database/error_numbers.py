"""The servers' error numbers, made into our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from service.core.errors import (
    ContentionError,
    DatabaseError,
    DataError,
    DuplicateError,
    DuplicateIndexError,
    MissingTableError,
    ReadOnlyError,
    StaleParentError,
    UnavailableError,
)

AWAY = "The database cannot be reached. Try again shortly."
SLOW = "The database did not answer in time. Try again shortly."

_KINDS: dict[type[DatabaseError], set[int]] = {
    # The connection is gone or of no use.
    UnavailableError: {
        *(1040, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927),
        *(2003, 2006, 2013, 2014, 2055),
        1317,  # interrupted: the connection is killed, or the server ends
        *(4012, 5065, 5066),  # seekdb and OceanBase: past ob_query_timeout, or killed
    },
    # The server takes no writes: it is a replica now, or cut off from its cluster.
    ReadOnlyError: {1290, 1792, 1836, 1047},
    # A lock wait, a deadlock, a child row that came in between.
    # And rows that changed since the snapshot (MariaDB, OceanBase, TiDB).
    # And seekdb has no id for a transaction at hand, or undid it for reasons of its own.
    ContentionError: {1205, 1213, 1451, *(1020, 6235, 8002, 9007), *(4383, 6002)},
    StaleParentError: {1452},
    DuplicateError: {1062},
    MissingTableError: {1146},
    DuplicateIndexError: {1061},
    # A value missing, out of range, of the wrong form or too long; no ids left (167: MariaDB); what
    # a CHECK or a trigger says.
    DataError: {167, 1048, 1264, 1265, 1292, 1366, 1406, 1467, 1644, 3819, 4025},
}
ERRORS = {number: kind for kind, numbers in _KINDS.items() for number in numbers}


@contextmanager
def translated_errors() -> Iterator[None]:
    """Errors of the driver as errors of ours, with the driver's as their cause."""
    try:
        yield
    except TimeoutError as error:
        raise UnavailableError(SLOW) from error
    except pymysql.MySQLError as error:
        raise _ours(error) from error


def _ours(error: pymysql.MySQLError) -> DatabaseError:
    number = error.args[0] if error.args else 0
    # The driver's own complaints: the connection is closed, or what came in is no MySQL.
    drivers = isinstance(error, pymysql.InterfaceError | pymysql.InternalError)
    kind = ERRORS.get(number, UnavailableError if drivers else DatabaseError)
    if issubclass(kind, UnavailableError):
        return kind(AWAY)
    if issubclass(kind, ContentionError):
        return kind(
            f"The database undid this (error {number}), as others were in its way. "
            "Try again shortly."
        )
    return kind(f"The database refused this (error {number}).")
