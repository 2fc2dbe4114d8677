"""Rows of text are judged as the struct judges objects, by either way."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.fields import decode_instant
from service.core.strings import certain, judge
from service.core.tables import TABLES, Table, by_name

HIRES = by_name("hired_employees")
whole_number = re.compile(r"0|-?[1-9][0-9]*", re.ASCII).fullmatch
GOOD = ["7", "Ana Ö. O'Neill", "2021-02-28T23:59:59Z", "3", "4"]

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        "0 1 007 +5 -5 1_0 5.0 1e3 ٣ 999999999 2147483647 2147483648 2021-02-29T00:00:00Z "
        "2020-02-29T00:00:00Z 1900-02-29T00:00:00Z 1904-02-29T00:00:00Z 1902-02-29T00:00:00Z "
        "2021-04-31T00:00:00Z 2021-12-31T23:59:59Z 2021-01-01T00:00:00 "
        "0999-01-01T00:00:00Z 2021-01-01T24:00:00Z 2021-01-01T00:00:00+00:00".split()
    ),
    st.sampled_from(["", " ", "a\nb", "\x00", "\x85", "\u2028", "\u3000", "\udcff", "x" * 256]),
    st.integers().map(str),
)


def by_struct(table: Table, record: list[str]) -> Any:
    """A record as the struct judges an object of the same values."""
    named = zip(table.stored_fields, record, strict=False)
    sent = {
        field.name: int(text) if field.type is int and whole_number(text) else text
        for field, text in named
        if text
    }
    try:
        row = msgspec.convert(sent, table.stored, dec_hook=decode_instant)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return None
    return msgspec.structs.astuple(row)


@given(
    st.lists(
        st.one_of(
            st.tuples(texts, texts, texts, texts, texts).map(list),
            st.tuples(st.integers(0, 4), texts).map(
                lambda change: [
                    change[1] if at == change[0] else good for at, good in enumerate(GOOD)
                ]
            ),
        ),
        max_size=4,
    )
)
def test_what_is_certain_is_what_the_struct_says(records: list[list[str]]) -> None:
    rows, doubtful = certain(HIRES.stored_fields, records)
    sure = [record for at, record in enumerate(records) if at not in doubtful]
    assert [by_struct(HIRES, record) for record in sure] == rows


@given(st.tuples(texts, texts, texts, texts, texts).map(list))
def test_a_row_is_right_if_the_struct_says_so(record: list[str]) -> None:
    judged = judge(HIRES.stored_fields, record)
    assert (judged if isinstance(judged, tuple) else None) == by_struct(HIRES, record)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
def test_plain_rows_are_certain(table: Table) -> None:
    record = GOOD if table is HIRES else GOOD[:2]
    assert certain(table.stored_fields, [record] * 3)[1] == []


def test_one_bad_row_leaves_the_others_certain() -> None:
    rows, doubtful = certain(
        HIRES.stored_fields, [GOOD, GOOD[:2], [*GOOD[:2], "never", *GOOD[3:]], GOOD]
    )
    assert (len(rows), doubtful) == (2, [1, 2])
