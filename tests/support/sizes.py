"""How much chaos: `make chaos` wants all of it, `make chaos CHAOS=short` a taste of each test."""

from __future__ import annotations

import os

FULL = os.environ.get("CHAOS") == "full"


def sized(*, short: int, full: int) -> int:
    """The one or the other."""
    return full if FULL else short
