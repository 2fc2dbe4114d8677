"""The size of the chaos tests: `make chaos` runs all, `make chaos CHAOS=short` a part of each."""

from __future__ import annotations

import os

FULL = os.environ.get("CHAOS") == "full"


def sized(*, short: int, full: int) -> int:
    """One of the two, depending on CHAOS."""
    return full if FULL else short
