"""What was not written."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from service.core.fields import Error


class Reject(Struct):
    """A row that was not written: where it stood, what it was, and every reason."""

    position: int
    record: Any
    errors: list[Error]

    def as_failure(self) -> dict[str, Any]:
        """As the API reports it."""
        return {"index": self.position, "record": self.record, "errors": self.errors}
