"""Every error hirebase raises on purpose.

HirebaseError
├── SettingsError           an environment variable has a value that cannot be used
├── InputError              what was sent cannot be read, or breaks a limit
│   ├── MalformedError      not JSON, not UTF-8, not a file at all
│   ├── BatchSizeError      0 rows, or more than a batch may have
│   ├── TooLargeError       more bytes than are taken
│   ├── UnsupportedError    a format or an encoding that is not read here
│   ├── KeyReusedError      an idempotency key that came with another body before
│   └── BackupError         not a backup, or one of another table
├── RowsRefused             all or nothing, and some rows break a rule
├── OrphansError            the change would leave rows without their parent
├── StoppedError            a load ended early: too many rejects, its file changed, a full disk
├── StorageError            a folder of the server's own cannot be read or written
├── TransactionTooLarge     more than the engine takes in one transaction
├── NotFoundError           no such table, row or backup
├── KeyBusyError            the first request with this idempotency key still runs
└── DatabaseError
    ├── UnavailableError    away, too busy, or past its deadline: try again later
    │   ├── ReadOnlyError       the server takes no writes any more: another may
    │   └── CommitUnknownError  COMMIT was not answered: look before repeating
    ├── ContentionError     a deadlock or a lock wait: roll back and run again
    │   └── StaleParentError    a parent vanished between the check and the insert
    ├── DataError           the server refused a value
    │   └── DuplicateError  the id is taken
    ├── MissingTableError   the tables are not made yet
    └── DuplicateIndexError the index is made already
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from service.core.rules.reject import Reject


class HirebaseError(Exception):
    """Something went wrong that has a name here; str() of it is for people."""

    @property
    def extras(self) -> dict[str, Any]:
        """Facts for the reply, beside the message."""
        return {}


class SettingsError(HirebaseError):
    """An environment variable has a value that cannot be used."""


class InputError(HirebaseError):
    """What was sent cannot be read, or breaks a limit."""


class MalformedError(InputError):
    """The body or file is not in the format it claims."""


class BatchSizeError(InputError):
    """A batch has 0 rows, or more than it may."""


class TooLargeError(InputError):
    """More bytes than are taken."""


class UnsupportedError(InputError):
    """A format or an encoding that is not read here."""


class KeyReusedError(InputError):
    """This idempotency key came with another request before."""


class BackupError(InputError):
    """The file is no backup, or a backup of another table."""


class RowsRefused(HirebaseError):
    """All or nothing was asked for, and some rows break a rule."""

    def __init__(self, message: str, rejects: Sequence[Reject], *, count: int | None = None):
        super().__init__(message)
        self.rejects = rejects
        self.count = len(rejects) if count is None else count

    @property
    def extras(self) -> dict[str, Any]:
        return {"failed": self.count, "failures": [reject.as_failure() for reject in self.rejects]}


class OrphansError(HirebaseError):
    """The change would leave rows without their parent."""

    def __init__(self, message: str, count: int, rows: Sequence[dict[str, Any]] = ()):
        super().__init__(message)
        self.count, self.rows = count, rows

    @property
    def extras(self) -> dict[str, Any]:
        return {"orphans": self.count, "rows": self.rows}


class StoppedError(HirebaseError):
    """A load ended before its files did."""


class StorageError(HirebaseError):
    """A folder or a file of the server's own cannot be read or written."""


class TransactionTooLarge(HirebaseError):
    """The change is more than the engine takes in one transaction."""


class NotFoundError(HirebaseError):
    """No such table, row or backup."""


class KeyBusyError(HirebaseError):
    """The first request with this idempotency key is still running."""


class DatabaseError(HirebaseError):
    """The database refused or could not answer; the driver's error is the cause."""


class UnavailableError(DatabaseError):
    """The database is away, too busy, or past its deadline."""


class ReadOnlyError(UnavailableError):
    """The server takes no writes any more; another one of MYSQL_HOST may."""


class CommitUnknownError(UnavailableError):
    """COMMIT was sent and not answered: the rows are written, or they are not."""


class ContentionError(DatabaseError):
    """A deadlock or a lock wait: the transaction was undone and may run again."""


class StaleParentError(ContentionError):
    """A parent row vanished between the check and the insert."""


class DataError(DatabaseError):
    """The server refused a value."""


class DuplicateError(DataError):
    """The id is taken."""


class MissingTableError(DatabaseError):
    """The tables are not made yet."""


class DuplicateIndexError(DatabaseError):
    """The table has an index of this name already."""
