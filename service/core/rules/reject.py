"""What was not written."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.core.rules.fields import Error

CLIPPED = 300
"""Characters of a text in a clipped record: one more than 255 shows that it is too long."""


class Reject(Struct):
    """A row that was not written: where it stood, what it was, and every reason."""

    position: int
    record: Any
    errors: list[Error]

    def clipped(self, first: int = 0) -> Reject:
        """With the beginnings of the texts in its record, which is a dict; counted from `first`."""
        record = {
            name: value[:CLIPPED] if isinstance(value, str | bytes) else value
            for name, value in self.record.items()
        }
        return Reject(self.position + first, record, self.errors)

    def as_failure(self) -> dict[str, Any]:
        """As the API reports it."""
        return {"index": self.position, "record": self.record, "errors": self.errors}
