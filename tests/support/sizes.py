"""The size of chaos and cluster tests: full, or short with CHAOS=short or CLUSTER=short."""

from __future__ import annotations

import os
from typing import TypeVar

Number = TypeVar("Number", int, float)

FULL = "full" in {os.environ.get("CHAOS"), os.environ.get("CLUSTER")}


def sized(*, short: Number, full: Number) -> Number:
    """The value for the size of this run."""
    return full if FULL else short
