"""Rejects: rows that were not written."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.core.rules.fields import Error

CLIPPED = 300
"""Characters of a text in a clipped record: more than 255 show that it is too long."""


class Reject(Struct):
    """A row that was not written: its position, its record, and every error.

    key: names the reject of a file (core/writes/corrections/files.py).
    """

    position: int
    record: Any
    errors: list[Error]
    key: str = ""

    @property
    def reasons(self) -> str:
        """The messages of its errors in one line."""
        errors = self.errors
        if len(errors) == 1:
            return errors[0].message
        return "; ".join([error.message for error in errors])

    def clipped(self, first: int = 0) -> Reject:
        """A copy with clipped texts and its position counted from `first`; the record is a dict."""
        record = {
            name: value[:CLIPPED] if isinstance(value, str | bytes) else value
            for name, value in self.record.items()
        }
        return Reject(self.position + first, record, self.errors)

    def as_failure(self) -> dict[str, Any]:
        """A failure in the reply of the API."""
        return {"index": self.position, "record": self.record, "errors": self.errors}
