"""The errors that hirebase raises.

HirebaseError
├── SettingsError           an environment variable has a value that cannot be used
│   └── NewerSchemaError    the tables belong to a newer version of the program
├── InputError              the input cannot be read, or exceeds a limit
│   ├── MalformedError      not JSON, not UTF-8, or not a file of the format
│   ├── BatchSizeError      0 rows, or more than the limit of a batch
│   ├── TooLargeError       more bytes than the limit
│   ├── UnsupportedError    a format or an encoding that is not supported
│   ├── KeyReusedError      an idempotency key of a different request
│   ├── ParameterError      query parameters have values that they do not take
│   └── BackupError         not a backup, or a backup of another table
│       └── DamagedError    damaged or incomplete
├── RowsRefused             all or nothing, and some rows break a rule
│   └── MissingParentsError     the only rule that they break: their parents do not exist
├── OrphansError            the change would leave rows without a parent
├── StoppedError            a load ended early: too many rejects, its file changed, a full disk
├── StorageError            a folder of the service cannot be read or written
├── NotFoundError           no such table, row, reject or backup
├── ChangedError            the row is not as the client has seen it
├── ClosedRejectError       the reject was corrected or dismissed before
├── KeyBusyError            the first request with this idempotency key is running
├── ShutdownError           the service is about to stop
└── DatabaseError
    ├── UnavailableError    unreachable, too busy or too late: try again later
    │   ├── NoConnectionError   no connection in time: all are in use, or no server takes writes
    │   ├── ReadOnlyError       the server takes no writes; another may take them
    │   └── CommitUnknownError  COMMIT was not confirmed: look before repeating
    ├── ContentionError     a deadlock or a lock wait: roll back and repeat
    │   └── StaleParentError    a parent was deleted between the check and the insert
    ├── TableBusyError      a restore is replacing the table, or cannot replace it: try again later
    ├── TransactionTooLarge more rows or bytes than the server allows in a transaction
    ├── DataError           the server refused a value
    │   └── DuplicateError  the id is taken
    ├── MissingTableError   the tables do not exist yet
    └── SchemaChangedError  what is created exists already, or what is dropped is gone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.core.rules.reject import Reject


class HirebaseError(Exception):
    """Base of all errors of hirebase; its text is a message for users."""

    @property
    def extras(self) -> dict[str, Any]:
        """Fields that the reply has in addition to the message."""
        return {}


class SettingsError(HirebaseError):
    """An environment variable has a value that cannot be used."""


class NewerSchemaError(SettingsError):
    """The tables belong to a newer version of the program, which applied more migrations."""

    def __init__(self, applied: int, known: int):
        super().__init__(
            f"MYSQL_DATABASE: a newer version of hirebase made these tables (migration "
            f"{applied:04}; this version knows {known:04}). Start that version again. To go back "
            "to this one, see docs/upgrade.md#going-back."
        )


class InputError(HirebaseError):
    """The input cannot be read, or exceeds a limit."""


class MalformedError(InputError):
    """The body or file does not have the format that it claims."""


class BatchSizeError(InputError):
    """A batch has 0 rows, or more than the limit."""


class TooLargeError(InputError):
    """The input has more bytes than the limit."""


class UnsupportedError(InputError):
    """The format or the encoding is not supported."""


class KeyReusedError(InputError):
    """This idempotency key belongs to a different request."""


class ParameterError(InputError):
    """Query parameters have values that they do not take; wrong: what is wrong, by name."""

    def __init__(self, wrong: Mapping[str, str]):
        super().__init__(" ".join(f"Parameter {name!r}: {text}." for name, text in wrong.items()))
        self.wrong = wrong

    @property
    def extras(self) -> dict[str, Any]:
        errors = [
            {"key": name, "source": "query", "message": text} for name, text in self.wrong.items()
        ]
        return {"errors": errors}


class BackupError(InputError):
    """The file is not a backup, or is a backup of another table."""


class DamagedError(BackupError):
    """The backup is damaged or incomplete."""

    def __init__(self, what: str):
        super().__init__(f"{what} Use another backup, or copy this one again.")


class RowsRefused(HirebaseError):
    """The request was all or nothing, and some rows break a rule."""

    def __init__(self, message: str, rejects: Sequence[Reject], *, count: int | None = None):
        super().__init__(message)
        self.rejects = rejects
        self.count = len(rejects) if count is None else count

    @property
    def extras(self) -> dict[str, Any]:
        return {"failed": self.count, "failures": [reject.as_failure() for reject in self.rejects]}


class MissingParentsError(RowsRefused):
    """The rows break no other rule, but their parents do not exist."""


class OrphansError(HirebaseError):
    """The change would leave rows without a parent."""

    def __init__(self, message: str, count: int, rows: Sequence[dict[str, Any]] = ()):
        super().__init__(message)
        self.count, self.rows = count, rows

    @property
    def extras(self) -> dict[str, Any]:
        return {"orphans": self.count, "rows": self.rows}


class StoppedError(HirebaseError):
    """A load stopped before the end of its files."""


class StorageError(HirebaseError):
    """A folder or a file of the service cannot be read or written."""


class NotFoundError(HirebaseError):
    """The table, row, reject or backup does not exist."""


class ChangedError(HirebaseError):
    """The row is not as the client has seen it."""


class ClosedRejectError(HirebaseError):
    """The reject was corrected or dismissed before."""


class KeyBusyError(HirebaseError):
    """The first request with this idempotency key is still running."""


class ShutdownError(HirebaseError):
    """The service is about to stop; another replica answers."""


class DatabaseError(HirebaseError):
    """The database refused, or could not answer; the error of the driver is the cause."""


class UnavailableError(DatabaseError):
    """The database is unreachable, too busy, or missed the deadline."""


class NoConnectionError(UnavailableError):
    """There was no connection in time: all are in use, or no server takes writes."""


class ReadOnlyError(UnavailableError):
    """The server takes no writes and did not do this one; another server may take it."""


class CommitUnknownError(UnavailableError):
    """COMMIT was sent but not confirmed: the rows may be written or not."""


class ContentionError(DatabaseError):
    """A deadlock or a lock wait: the transaction was rolled back and can be repeated."""


class StaleParentError(ContentionError):
    """A parent row was deleted between the check and the insert."""


class TableBusyError(DatabaseError):
    """A restore is replacing the table, or other work keeps a restore from replacing it."""


class TransactionTooLarge(DatabaseError):
    """The change has more rows or bytes than the server allows in one transaction."""


class DataError(DatabaseError):
    """The server refused a value."""


class DuplicateError(DataError):
    """The id is taken."""


class MissingTableError(DatabaseError):
    """The tables do not exist yet."""


class SchemaChangedError(DatabaseError):
    """What a statement creates exists already, or what it drops is gone."""
