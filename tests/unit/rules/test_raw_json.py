"""Values as users write them, in forms and in CSV files."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest

from service.core.rules.raw_json import decode_value, input_text, split_rows


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


def test_long_numbers_are_found_in_linear_time() -> None:
    """With half of a surrogate pair, so that the standard library reads it."""
    body = b'["' + (b"9" * 3999 + b"a") * 1000 + b'\\ud800"]'
    began = time.process_time()
    assert len(split_rows(body)) == 1
    assert len(decode_value(body)[0]) == 4_000_001
    assert time.process_time() - began < 3
