"""Translates the error numbers of servers into errors of hirebase."""

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
    TransactionTooLarge,
    UnavailableError,
)

HOOK = 3100

AWAY = "The database cannot be reached. Try again shortly."
TOO_LARGE = (
    "The database allows fewer rows or bytes in one transaction. Nothing was changed. Send less at "
    "a time, or raise the limit of the server"
)
SLOW = "The database did not answer in time. Try again shortly."

_KINDS: dict[type[DatabaseError], set[int]] = {
    # The connection is lost or unusable.
    UnavailableError: {
        *(1040, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1927),
        *(2003, 2006, 2013, 2014, 2055),
        1317,  # interrupted: the connection was killed, or the server shuts down
        *(4012, 5065, 5066),  # seekdb and OceanBase: ob_query_timeout passed, or killed
    },
    # The server is read-only: it became a replica, or lost the connection to its cluster.
    ReadOnlyError: {1290, 1792, 1836, 1047},
    # A lock wait, a deadlock, or a child row that was inserted meanwhile.
    # Rows that changed since the snapshot (MariaDB, OceanBase, TiDB).
    # seekdb has no transaction id available, or rolled back for an internal reason.
    ContentionError: {1205, 1213, 1451, *(1020, 6235, 8002, 9007), *(4383, 6002)},
    StaleParentError: {1452},
    DuplicateError: {1062},
    MissingTableError: {1146},
    DuplicateIndexError: {1061},
    # A value that is missing, out of range, malformed or too long; no id left (167: MariaDB); a
    # violation that a CHECK or a trigger reports.
    # Group Replication: while rows are written; MySQL: max_binlog_cache_size; TiDB.
    TransactionTooLarge: {3231, 1197, 8004},
    DataError: {167, 1048, 1264, 1265, 1292, 1366, 1406, 1467, 1644, 3819, 4025},
}
_TOO_LARGE = {1105: "writeset size", 1180: "wsrep_max_ws_rows"}
"""Texts of Galera, whose error numbers have other meanings as well."""
ERRORS = {number: kind for kind, numbers in _KINDS.items() for number in numbers}


@contextmanager
def translated_errors() -> Iterator[None]:
    """Translate errors of the driver into a DatabaseError with the driver's error as its cause."""
    try:
        yield
    except TimeoutError as error:
        raise UnavailableError(SLOW) from error
    except pymysql.MySQLError as error:
        raise _translate(error) from error


def _translate(error: pymysql.MySQLError) -> DatabaseError:
    number = error.args[0] if error.args else 0
    # The driver raises these itself: the connection is closed, or the reply is not MySQL.
    from_driver = isinstance(error, pymysql.InterfaceError | pymysql.InternalError)
    kind = ERRORS.get(number, UnavailableError if from_driver else DatabaseError)
    if kind is TransactionTooLarge or (number in _TOO_LARGE and _TOO_LARGE[number] in str(error)):
        return TransactionTooLarge(f"{TOO_LARGE} (error {number}).")
    if issubclass(kind, UnavailableError):
        return kind(AWAY)
    if issubclass(kind, ContentionError):
        return kind(
            f"The database rolled back because of another transaction (error {number}). "
            "Try again shortly."
        )
    return kind(f"The database refused the statement (error {number}).")


def is_refused_by_hook(error: DatabaseError) -> bool:
    """Whether Group Replication refused a COMMIT: too large, or not possible in the group."""
    return isinstance(error.__cause__, pymysql.MySQLError) and error.__cause__.args[0] == HOOK
