"""Values as users write them, in forms and in CSV files."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.core.rules.raw_json import input_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (7, "7"),
        (Decimal("1.10"), "1.10"),
        (1e300, "1e300"),
        ('a "b"', 'a "b"'),
        ([1, None], "[1,null]"),
        ({"a": "b"}, '{"a":"b"}'),
    ],
)
def test_a_text_is_as_it_is_and_anything_else_is_json(value: Any, text: str) -> None:
    assert input_text(value) == text
