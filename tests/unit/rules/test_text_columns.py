"""Rows of text have the same result as objects that msgspec validates."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.rules.field_types import Whole, decode
from service.core.rules.text_columns import validate
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
# What a column could be joined and split by.
separators = st.sampled_from([*"\n\r\t,Z \0\x1f\u2028\ud800", "\r\n", ""])


def by_struct(table: Table, record: list[str]) -> Any:
    """The row that msgspec makes of an object with the same values."""
    named = zip(table.stored_fields, record, strict=False)
    sent = {
        field.name: int(text) if isinstance(field.kind, Whole) and whole_number(text) else text
        for field, text in named
        if text
    }
    try:
        row = msgspec.convert(sent, table.stored, dec_hook=decode)
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
def test_rows_are_valid_if_msgspec_accepts_them(records: list[list[str]]) -> None:
    validated = validate(HIRES.stored_fields, records)
    expected = {at: by_struct(HIRES, record) for at, record in enumerate(records)}
    right = {at: row for at, row in expected.items() if row is not None}
    assert dict(zip(validated.positions, validated.rows, strict=True)) == right
    assert validated.errors.keys() == expected.keys() - right.keys()
    assert all(validated.errors.values())


@pytest.mark.parametrize("column", range(len(GOOD)))
@given(st.data())
def test_a_column_has_the_same_result_as_its_texts(column: int, data: st.DataObject) -> None:
    good = st.lists(st.just(GOOD[column]), min_size=1, max_size=3)
    joined = st.one_of(st.just(GOOD[column]), st.builds(str.join, separators, good), texts)
    records = [
        [*GOOD[:column], text, *GOOD[column + 1 :]]
        for text in data.draw(st.lists(joined, min_size=1, max_size=4))
    ]
    validated = validate(HIRES.stored_fields, records)
    expected = {at: by_struct(HIRES, record) for at, record in enumerate(records)}
    right = {at: row for at, row in expected.items() if row is not None}
    assert dict(zip(validated.positions, validated.rows, strict=True)) == right
    assert validated.errors.keys() == expected.keys() - right.keys()


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\t", "\x00", ","])
def test_two_moments_in_one_field_are_an_error(separator: str) -> None:
    twice = [*GOOD[:2], separator.join([GOOD[2]] * 2), *GOOD[3:]]
    for records in ([twice], [GOOD, twice], [twice, GOOD[:2]]):
        validated = validate(HIRES.stored_fields, records)
        errors = validated.errors[records.index(twice)]
        assert [(error.field, error.code) for error in errors] == [("datetime", "format")]
        assert len(validated.rows) + len(validated.errors) == len(records)


@given(st.tuples(texts, texts, texts, texts, texts).map(list))
def test_a_row_has_the_same_result_alone_and_among_others(record: list[str]) -> None:
    alone = validate(HIRES.stored_fields, [record])
    among = validate(HIRES.stored_fields, [GOOD, record, GOOD[:2]])
    assert among.errors.get(1) == alone.errors.get(0)
    assert among.rows == [alone_row(GOOD), *alone.rows]


def alone_row(record: list[str]) -> Any:
    """The row of a valid record."""
    (row,) = validate(HIRES.stored_fields, [record]).rows
    return row


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
def test_plain_rows_are_valid(table: Table) -> None:
    record = GOOD if table is HIRES else GOOD[:2]
    validated = validate(table.stored_fields, [record] * 3)
    assert (len(validated.rows), list(validated.positions), validated.errors) == (3, [0, 1, 2], {})


def test_no_rows_are_no_error() -> None:
    assert validate(HIRES.stored_fields, []).rows == []


def test_errors_have_the_order_of_the_fields() -> None:
    bad = ["0", "", "never", "x", "2147483648"]
    validated = validate(HIRES.stored_fields, [GOOD, GOOD[:2], bad, GOOD])
    assert list(validated.positions) == [0, 3]
    assert [error.code for error in validated.errors[1]] == ["malformed"]
    names = [error.field for error in validated.errors[2]]
    assert names == ["id", "name", "datetime", "department_id", "job_id"]


def test_rows_with_the_same_error_keep_their_own_others() -> None:
    day, both = (
        [*GOOD[:2], "2021-02-30T00:00:00Z", *GOOD[3:]],
        ["0", GOOD[1], "2021-02-30", "x", "4"],
    )
    records = [day, both, day, [*day[:4], "x"], day]
    validated = validate(HIRES.stored_fields, records)
    for at, record in enumerate(records):
        assert validated.errors[at] == validate(HIRES.stored_fields, [record]).errors[0]
    assert [len(validated.errors[at]) for at in range(len(records))] == [1, 3, 1, 2, 1]


def test_a_reject_keeps_the_parents_that_it_names() -> None:
    names = [*GOOD[:3], "5", "x"]
    validated = validate(
        HIRES.stored_fields, [GOOD, GOOD[:2], names, [*GOOD[:3], "-1", "9999999999"]]
    )
    assert validated.parents(range(4)) == {"department_id": {0: 3, 2: 5}, "job_id": {0: 4}}
