"""Lines of CSV: rows with ids, errors with codes."""

from __future__ import annotations

import pytest

from service.core.rules import batch
from service.core.tables import by_path
from tests.support.hires import codes_of

JOBS, EMPLOYEES = by_path("jobs"), by_path("employees")
MOMENT = "2021-07-27T16:02:08Z"
LINE = ["7", "Ana Gómez", MOMENT, "1", "2"]


def test_good_lines_become_rows_with_their_ids() -> None:
    validated = batch.from_texts(EMPLOYEES, [LINE])
    assert validated.rows == [(7, "Ana Gómez", "2021-07-27T16:02:08", 1, 2)]


@pytest.mark.parametrize(
    "number",
    ["5.0", "1e3", "007", " 5", "5 ", "+5", "-0", "0x5", "1_000", "true", "null", "٣", "５"],
)
def test_a_number_in_a_line_is_plain_digits(number: str) -> None:
    assert codes_of(batch.from_texts(JOBS, [[number, "Clerk"]])) == [("id", "type")]
    assert codes_of(batch.from_texts(EMPLOYEES, [[*LINE[:4], number]])) == [("job_id", "type")]


@pytest.mark.parametrize(
    ("column", "text", "code"),
    [
        (0, "", "missing"),
        (0, "n/a", "type"),
        (0, "0", "out_of_range"),
        (0, "-5", "out_of_range"),
        (0, "2147483648", "out_of_range"),
        (0, "9" * 19, "out_of_range"),
        (0, "1" + "0" * 400, "out_of_range"),
        (0, "-1" + "0" * 10_000, "out_of_range"),
        (1, "", "missing"),
        (1, " ", "blank"),
        (1, "x" * 256, "too_long"),
        (1, "a\x07", "control_character"),
        (1, "\ud800", "control_character"),
        (2, "", "missing"),
        (2, "yesterday", "format"),
        (2, "2021-07-27T16:02:08", "format"),
        (2, "0999-12-31T23:59:59Z", "out_of_range"),
        (3, "", "missing"),
        (3, "two", "type"),
        (4, "99999999999", "out_of_range"),
    ],
)
def test_each_broken_rule_of_a_line_has_its_code(column: int, text: str, code: str) -> None:
    line = [*LINE[:column], text, *LINE[column + 1 :]]
    validated = batch.from_texts(EMPLOYEES, [LINE, line])
    assert codes_of(validated) == [(EMPLOYEES.columns[column], code)]
    assert (validated.rejects[0].position, validated.rejects[0].record) == (1, line)
    assert list(validated.positions) == [0]


@pytest.mark.parametrize("line", [[], ["7"], LINE[:4], [*LINE, "spare"]])
def test_a_line_with_another_number_of_fields_is_malformed(line: list[str]) -> None:
    assert codes_of(batch.from_texts(EMPLOYEES, [line])) == [(None, "malformed")]


def test_a_line_gives_all_its_errors() -> None:
    assert codes_of(batch.from_texts(EMPLOYEES, [["x", "", "never", "0", "1.0"]])) == [
        ("id", "type"),
        ("name", "missing"),
        ("datetime", "format"),
        ("department_id", "out_of_range"),
        ("job_id", "type"),
    ]


def test_utc_is_assumed_only_on_request() -> None:
    line = [*LINE[:2], MOMENT[:-1], *LINE[3:]]
    assert batch.from_texts(EMPLOYEES, [line]).rows == []
    assert batch.from_texts(EMPLOYEES, [line], assume_utc=True).rows[0][2] == MOMENT[:-1]
    bad = [line, ["x", *line[1:]]]
    assert batch.from_texts(EMPLOYEES, bad, assume_utc=True).rows[0][2] == MOMENT[:-1]


def test_no_lines_are_an_empty_batch() -> None:
    assert batch.from_texts(EMPLOYEES, []).received == 0
