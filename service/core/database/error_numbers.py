"""Translates the error numbers of servers into errors of hirebase."""

from __future__ import annotations

import pymysql

from service.core.errors import (
    ContentionError,
    DatabaseError,
    DataError,
    DuplicateError,
    HirebaseError,
    MissingTableError,
    ReadOnlyError,
    SchemaChangedError,
    StaleParentError,
    TableBusyError,
    TransactionTooLarge,
    UnavailableError,
)

HOOK = 3100

AWAY = "The database cannot be reached. Try again shortly."
TOO_LARGE = (
    "This change is larger than the database allows in one transaction (error {number}). Nothing "
    "was changed. Send less at once, or raise the limit of the database."
)
RESTORED = (
    "A restore is replacing this table, so it takes no rows now. Nothing was written. Try again "
    "when the restore is done."
)
DENIED = (
    "The database login lacks a right (error {number}). Nothing was changed. `python -m service "
    "doctor` names the right to grant."
)
SLOW = "The database did not answer in time. Try again shortly."

_KINDS: dict[type[HirebaseError], set[int]] = {
    # The connection is lost, or the server cannot serve it: it starts, stops, or has no room left.
    # After one of these, it is unknown whether a COMMIT was done.
    UnavailableError: {
        *(1040, 1129, 1203, 1226, 1637),  # too many connections, errors or transactions
        *(1053, 1077, 1079, 1080, 1152, 1184, 1927, 3168, 3169, 4031),  # shutdown, killed, idle
        *(1158, 1159, 1160, 1161),  # the network
        *(2003, 2006, 2013, 2014, 2055),  # the driver's own
        # Ended by KILL or a time limit: 1969 MariaDB, 3024 MySQL; 4012 and the next two OceanBase.
        *(1317, 1969, 3024, 4012, 5065, 5066),
        # Galera and group replication: the node left its group while it ran the statement. 3100 is
        # an error in COMMIT, which other nodes may have received.
        *(1105, 1180, 3100),
        *(3796, 3797, 3798, 3799),  # group_replication_consistency cannot be met
        # TiDB: its other processes do not answer, are busy, or its schema is out of date.
        *(8027, 8120, 8229, 8252, 9001, 9002, 9003, 9004, 9005, 9008, 9010),
        # OceanBase: no memory, no leader, a full queue, an unknown outcome.
        *(4013, 4030, 4038, 4081, 4085, 4654, 6225),
    },
    # The server takes no writes: it became a replica, or it lost its cluster. It did not do what
    # was asked, not even a COMMIT.
    ReadOnlyError: {
        *(1290, 1792, 1836),
        1047,  # Galera: the node is not ready
        3032,  # MySQL: offline mode, in which a member that left its group puts itself
    },
    # A lock wait, a deadlock, or a child row that was inserted meanwhile.
    # The server rolled back, and the same transaction can succeed.
    ContentionError: {
        *(1205, 1213, 1451, 1614, 1689, 3572),
        3101,  # group replication: another node changed the same rows
        1412,  # a restore replaced the table after the snapshot
        # Rows that changed since the snapshot: 1020 MariaDB, the others TiDB and OceanBase.
        *(1020, 6235, 8002, 8005, 8022, 8028, 8147, 9007),
        # OceanBase: no transaction id, a rollback for an internal reason, an outdated snapshot.
        *(4023, 4036, 4101, 4138, 4383, 6001, 6002, 6005),
    },
    # A limit on the size of a transaction: MySQL's binary log and locks, group replication, TiDB.
    TransactionTooLarge: {1197, 1206, 3231, 8004, 8025, 9500},
    StaleParentError: {1452},
    DuplicateError: {1062},
    MissingTableError: {1146},
    # A table, column, index or foreign key exists already, or is gone.
    SchemaChangedError: {1022, 1050, 1060, 1061, 1091, 1826},
    # A value that is missing, out of range, malformed or too long; no id left (167: MariaDB); a
    # violation that a CHECK or a trigger reports; another step of ids than expected (1690).
    DataError: {167, 1048, 1264, 1265, 1292, 1366, 1406, 1467, 1644, 1690, 3819, 4025},
}
ERRORS = {number: kind for kind, numbers in _KINDS.items() for number in numbers}

_TEXTS: list[tuple[int, str, type[HirebaseError]]] = [
    (1364, "'restore_in_progress'", TableBusyError),  # the guard of a staged restore
    (1005, "errno: 121", SchemaChangedError),  # MariaDB: the foreign key exists
    (1105, "Maximum writeset size exceeded", TransactionTooLarge),
    (1180, "wsrep_max_ws_rows exceeded", TransactionTooLarge),
    (1180, "Got error 149 ", ContentionError),  # another primary of the group changed the same rows
]
"""Errors that have no number of their own: only the text tells them apart."""

_DENIALS = {1044, 1142, 1143, 1227, 1370}


class _Translation:
    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object
    ) -> None:
        if isinstance(error, TimeoutError):
            raise UnavailableError(SLOW) from error
        if isinstance(error, pymysql.MySQLError):
            raise _translate(error) from error


_translation = _Translation()


def translated_errors() -> _Translation:
    """Translate errors of the driver into a HirebaseError with the driver's error as its cause."""
    return _translation


def _translate(error: pymysql.MySQLError) -> HirebaseError:
    number = error.args[0] if error.args else 0
    kind = _kind(error, number)
    if issubclass(kind, UnavailableError):
        return kind(AWAY)
    if issubclass(kind, ContentionError):
        return kind(
            f"The database rolled back because of another transaction (error {number}). "
            "Try again shortly."
        )
    if issubclass(kind, TableBusyError):
        return kind(RESTORED)
    if issubclass(kind, TransactionTooLarge):
        return kind(TOO_LARGE.format(number=number))
    if number in _DENIALS:
        return kind(DENIED.format(number=number))
    return kind(f"The database refused the statement (error {number}).")


def _kind(error: pymysql.MySQLError, number: int) -> type[HirebaseError]:
    for coarse, text, kind in _TEXTS:
        if number == coarse and text in str(error):
            return kind
    # The driver raises these itself: the connection is closed, or the reply is not MySQL.
    from_driver = isinstance(error, pymysql.InterfaceError | pymysql.InternalError)
    return ERRORS.get(number, UnavailableError if from_driver else DatabaseError)


def is_refused_by_hook(error: DatabaseError) -> bool:
    """Whether Group Replication refused a COMMIT: too large, or not possible in the group."""
    return isinstance(error.__cause__, pymysql.MySQLError) and error.__cause__.args[0] == HOOK
