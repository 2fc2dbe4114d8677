"""The size of chaos tests: full by `make chaos`, short by `make chaos CHAOS=short`."""

from __future__ import annotations

import os

FULL = os.environ.get("CHAOS") == "full"


def sized(*, short: int, full: int) -> int:
    """The value for the size of this run."""
    return full if FULL else short
