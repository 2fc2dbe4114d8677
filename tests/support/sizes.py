"""The size of chaos tests: full by `make chaos`, short by `make chaos CHAOS=short`."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")

FULL = os.environ.get("CHAOS") == "full"


def sized(*, short: T, full: T) -> T:
    """The value for the size of this run."""
    return full if FULL else short
