"""The fields of rejected records are those that their file names."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.reading.splitter import Splitter
from service.core.tables import by_path
from service.core.writes.checkpoint import Position
from service.core.writes.corrections.records import fields_of, first_fields

JOBS = by_path("jobs")
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]))


@given(
    st.lists(TEXTS.map(lambda text: text.strip(" \t")), min_size=2, max_size=2),
    st.sampled_from(",;|\t"),
)
def test_a_line_of_csv_has_the_fields_that_were_written(cells: list[str], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(cells)
    layout = f"job{delimiter}id"
    expected = {"id": cells[1], "job": cells[0]}
    assert fields_of(JOBS, "loader", text.getvalue(), layout) == expected


@given(st.text(st.sampled_from('"ab, \t'), max_size=12))
def test_a_line_has_the_fields_that_the_loader_read_or_none(line: str) -> None:
    data = f"{line}\n".encode()
    block = Splitter(",").split(data, Position(), last=True, longest=True)
    found = fields_of(JOBS, "loader", line)
    if found is not None:
        assert [list(found.values())] == [list(record) for record in block.records]


def test_a_quoted_field_after_a_blank_has_no_quotes() -> None:
    assert fields_of(JOBS, "loader", '1, "Cook"') == {"id": "1", "job": "Cook"}
    assert fields_of(JOBS, "loader", '1,\t"Cook"') is None
    assert fields_of(JOBS, "loader", '1, \t \t"Cook"') is None


def test_blanks_are_read_in_linear_time() -> None:
    began = time.process_time()
    assert fields_of(JOBS, "loader", "1," + "\t" * 100_000) == {"id": "1", "job": ""}
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("source", "record", "fields"),
    [
        ("loader", '1,"Two, words"', {"id": "1", "job": "Two, words"}),
        ("loader", "1, Cook ", {"id": "1", "job": "Cook"}),
        ("loader", '1,"Two\nlines"', {"id": "1", "job": "Two\nlines"}),
        ("loader", "1,Cook,", None),
        ("loader", "1", None),
        ("loader", "", None),
        ("loader", '1,"open', None),
        ("loader", "1,Cook\n2,Cook", None),
        ("api", '{"job": 5}', {"job": 5}),
        ("api", '{"job": "Cook"', None),
        ("api", "[]", None),
        ("api", "job", None),
    ],
)
def test_a_record_without_fields_has_none(
    source: str, record: str, fields: dict[str, object] | None
) -> None:
    assert fields_of(JOBS, source, record) == fields


def test_a_line_that_is_too_short_or_too_long_has_its_first_fields() -> None:
    assert first_fields(JOBS, "1") == {"id": "1"}
    assert first_fields(JOBS, "1,Cook,x") == {"id": "1", "job": "Cook"}
