"""JSON and Avro records: rows, positions, records as sent, errors with codes."""

from __future__ import annotations

import re
import sys
from typing import Any

import msgspec
import pytest

from service.core.errors import BatchSizeError, MalformedError
from service.core.rules import batch
from service.core.tables import by_path
from tests.support.hires import codes_of

DEPARTMENTS, JOBS, EMPLOYEES = map(by_path, ("departments", "jobs", "employees"))
MOMENT = "2021-07-27T16:02:08Z"
HIRE: dict[str, Any] = {"name": "Ana Gómez", "datetime": MOMENT, "department_id": 1, "job_id": 2}


def hire(**fields: Any) -> bytes:
    return msgspec.json.encode([HIRE | fields])


def test_good_objects_become_rows_in_column_order() -> None:
    validated = batch.from_json(EMPLOYEES, hire())
    assert validated.rows == [("Ana Gómez", "2021-07-27T16:02:08", 1, 2)]
    assert (validated.received, list(validated.positions), validated.rejects) == (1, [0], [])


@pytest.mark.parametrize(
    "body", [b'{"job":"Clerk"}', b' \n\t{"job":"Clerk"}\n', b'[{"job":"Clerk"}]']
)
def test_one_object_is_a_batch_of_one(body: bytes) -> None:
    assert batch.from_json(JOBS, body).rows == [("Clerk",)]


def test_rows_and_rejects_keep_their_positions_and_what_was_sent() -> None:
    body = b'[{"job":""},{"job":"A"},{ "job" : 1.50 },{"job":"B"},"C"]'
    validated = batch.from_json(JOBS, body)
    assert (validated.rows, list(validated.positions)) == ([("A",), ("B",)], [1, 3])
    assert [reject.position for reject in validated.rejects] == [0, 2, 4]
    assert msgspec.json.encode(validated.rejects[1].record) == b'{ "job" : 1.50 }'
    assert validated.received == 5


@pytest.mark.parametrize(
    ("fields", "field", "code"),
    [
        ({"id": 1}, "id", "unknown_field"),
        ({"salary": 1}, "salary", "unknown_field"),
        ({"name": 5}, "name", "type"),
        ({"name": None}, "name", "type"),
        ({"name": " "}, "name", "blank"),
        ({"name": ""}, "name", "blank"),
        ({"name": "x" * 256}, "name", "too_long"),
        ({"name": "a\x00"}, "name", "control_character"),
        ({"datetime": 5}, "datetime", "type"),
        ({"datetime": "2021-02-30T00:00:00Z"}, "datetime", "format"),
        ({"datetime": "0001-01-01T00:00:00+14:00"}, "datetime", "out_of_range"),
        ({"department_id": "1"}, "department_id", "type"),
        ({"department_id": True}, "department_id", "type"),
        ({"department_id": 1.0}, "department_id", "type"),
        ({"department_id": None}, "department_id", "type"),
        ({"department_id": 0}, "department_id", "out_of_range"),
        ({"department_id": 2**31}, "department_id", "out_of_range"),
        ({"job_id": 10**40}, "job_id", "out_of_range"),
        ({"job_id": [1]}, "job_id", "type"),
    ],
)
def test_each_broken_rule_of_an_object_has_its_code(
    fields: dict[str, Any], field: str, code: str
) -> None:
    assert codes_of(batch.from_json(EMPLOYEES, hire(**fields))) == [(field, code)]


@pytest.mark.parametrize("missing", HIRE)
def test_every_field_is_required(missing: str) -> None:
    row = {name: value for name, value in HIRE.items() if name != missing}
    assert codes_of(batch.from_json(EMPLOYEES, msgspec.json.encode([row]))) == [
        (missing, "missing")
    ]


def test_a_row_gives_all_its_errors() -> None:
    row = {"salary": 1, "name": "\t", "datetime": MOMENT[:-1], "department_id": 0}
    assert set(codes_of(batch.from_json(EMPLOYEES, msgspec.json.encode([row])))) == {
        ("salary", "unknown_field"),
        ("name", "blank"),
        ("name", "control_character"),
        ("datetime", "format"),
        ("department_id", "out_of_range"),
        ("job_id", "missing"),
    }


@pytest.mark.parametrize("row", [b"1", b"null", b"true", b'"x"', b"[]", b'[{"job":"Clerk"}]'])
def test_a_row_that_is_no_object_is_rejected_alone(row: bytes) -> None:
    validated = batch.from_json(JOBS, b'[{"job":"Clerk"},' + row + b"]")
    assert validated.rows == [("Clerk",)]
    assert codes_of(validated) == [(None, "type")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  ",
        b"[",
        b'[{"job":"A"}',
        b'[{"job":"A"},]',
        b'[{"job":"A",}]',
        b'[{"job":"A"}] 1',
        b'[{"job":"A"} {"job":"B"}]',
        b"[{'job':'A'}]",
        b'[{"job":NaN}]',
        b'[{"job":"A","x":tru}]',
        b'[{"job":"line\nbreak"}]',
        b'[{"job":"A"},{"job":"\xff"}]',
        b'[{"job":"\xed\xa0\x80"}]',
        '[{"job":"Ä"}]'.encode("utf-16"),
        b'\xef\xbb\xbf[{"job":"A"}]',
        b"[" * 100_000,
        b'[{"job":' + b"[" * 5_000_000,
        b"null",
        b"5",
        b'"job"',
    ],
)
def test_a_body_that_is_no_json_array_is_malformed_as_a_whole(body: bytes) -> None:
    with pytest.raises(MalformedError):
        batch.from_json(JOBS, body)


READ_FROM = {2_000: (3, 13), 100_000: (3, 14)}
"""The version of Python that reads this depth, and finds the wrong type of the row's value."""


@pytest.mark.parametrize("depth", [*READ_FROM, 5_000_000])
@pytest.mark.parametrize(
    ("start", "middle", "end"), [(b'[{"job":', b"[]", b"}]"), (b"", b'{"job":}', b"")]
)
def test_a_body_that_is_nested_too_deeply_is_malformed(
    depth: int, start: bytes, middle: bytes, end: bytes
) -> None:
    """As a whole or as its row."""
    body = start + middle[:-1] * depth + b"1" * (start == b"") + middle[-1:] * depth + end
    is_read = depth in READ_FROM and sys.version_info >= READ_FROM[depth]
    assert re.search("nested too deeply" + "|must be a string" * is_read, refusal(body))


def refusal(body: bytes) -> str:
    """The message for a body, or for its only row."""
    try:
        (reject,) = batch.from_json(JOBS, body).rejects
    except MalformedError as error:
        return str(error)
    (error_of_row,) = reject.errors
    return error_of_row.message


def test_a_body_that_is_not_utf_8_says_where() -> None:
    with pytest.raises(MalformedError, match=r"not UTF-8.*byte 13"):
        batch.from_json(JOBS, b'[{"job":"Caf\xe9"}]'.replace(b'"Caf', b'"Caf '))


@pytest.mark.parametrize(
    "half", [b'"\\ud83d"', b'"\\uDE00\\ud83d"', b'"\\ud83dx"', b'"\\\\\\ud83d"']
)
def test_half_a_surrogate_pair_rejects_only_its_row(half: bytes) -> None:
    body = (
        b'[ {"job":"A\\ud83d\\ude00"} ,\n{ "job":' + half + b'},{"x":' + half + b'},{"job":"B"}]\n'
    )
    validated = batch.from_json(JOBS, body)
    assert validated.rows == [("A😀",), ("B",)]
    assert [reject.position for reject in validated.rejects] == [1, 2]
    assert bytes(validated.rejects[0].record) == b'{ "job":' + half + b"}"
    assert [error.code for error in validated.rejects[0].errors] == ["control_character"]


def test_an_error_can_name_a_field_with_half_a_surrogate_pair() -> None:
    (reject,) = batch.from_json(JOBS, b'[{"job":"A","\\ud83d":1}]').rejects
    assert b'"field":"\\\\ud83d"' in msgspec.json.encode(reject)


@pytest.mark.parametrize(
    "rest", [b"", b",", b",]", b" 1]", b"]]", b',{"job":NaN}]', b",tru]", b',{"job":01}]']
)
def test_half_a_surrogate_pair_does_not_hide_other_faults(rest: bytes) -> None:
    with pytest.raises(MalformedError):
        batch.from_json(JOBS, b'[{"job":"\\ud83d"}' + rest)


def test_escaped_surrogate_pairs_are_one_character() -> None:
    assert batch.from_json(JOBS, b'{"job":"\\ud83d\\ude00"}').rows == [("😀",)]


@pytest.mark.parametrize("first", [b'"A"', b"1", b'""', b"null", b'"\\ud83d"', b"1e999"])
def test_the_last_of_repeated_keys_counts(first: bytes) -> None:
    body = b'[{"job":' + first + b',"job":"B"},{"job":"B","job":' + first + b"}]"
    validated = batch.from_json(JOBS, body)
    assert validated.rows[0] == ("B",)
    assert len(validated.rows) == (2 if first == b'"A"' else 1)
    for reject in validated.rejects:
        assert (reject.position, reject.errors[0].field) == (1, "job")


@pytest.mark.parametrize("body", [b'{"job":"A"},{"job":"B"}', b'{"job":""},{"job":"B"}', b"{},{}"])
def test_objects_side_by_side_are_not_an_array(body: bytes) -> None:
    with pytest.raises(MalformedError, match="Send them as one array"):
        batch.from_json(JOBS, body)


NUMBERS = {
    b"1" + b"0" * 400: "out_of_range",
    b"-1" + b"0" * 10_000: "out_of_range",
    b"1e400": "type",
    b"1e99999999999999999999": "type",
    b"-1e-99999999999999999999": "type",
    b"0.1e+99999999999999999999": "type",
}


@pytest.mark.parametrize("half", [b"", b',{"x":"\\ud83d"}'])
@pytest.mark.parametrize(("number", "code"), NUMBERS.items())
def test_a_number_of_any_size_is_an_error_of_its_field_alone(
    number: bytes, code: str, half: bytes
) -> None:
    bad = hire().replace(b'"job_id":2', b'"job_id":' + number)[1:-1]
    validated = batch.from_json(EMPLOYEES, b"[" + bad + b"," + hire()[1:-1] + half + b"]")
    reject = validated.rejects[0]
    assert [(error.field, error.code) for error in reject.errors] == [("job_id", code)]
    assert (bytes(reject.record), validated.parents) == (bad, {"department_id": {0: 1}})
    assert len(validated.rows) == 1


@pytest.mark.parametrize("count", [0, 1001])
@pytest.mark.parametrize("row", [b'{"job":"A"}', b"1"])
def test_a_batch_of_the_wrong_size_is_refused_good_or_bad(count: int, row: bytes) -> None:
    with pytest.raises(BatchSizeError, match=f"this one has {count}"):
        batch.from_json(JOBS, b"[" + b",".join([row] * count) + b"]")


@pytest.mark.parametrize("count", [1, 1000])
def test_a_batch_has_1_to_1000_rows(count: int) -> None:
    body = b"[" + b",".join([b'{"job":"A"}'] * count) + b"]"
    assert len(batch.from_json(JOBS, body).rows) == count


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id": 0}, ("id", "out_of_range")),
        ({"id": "7"}, ("id", "type")),
        ({"id": None}, ("id", "type")),
        ({"name": b"bytes"}, ("name", "type")),
        ({"name": " "}, ("name", "blank")),
        ({"job_id": 2.0}, ("job_id", "type")),
        ({"job_id": True}, ("job_id", "type")),
        ({"datetime": 1627401728000000}, ("datetime", "type")),
        ({"salary": 1}, ("salary", "unknown_field")),
    ],
)
def test_a_record_is_validated_like_an_object(
    fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    record = {"id": 7, **HIRE, **fields}
    validated = batch.from_records(EMPLOYEES, [{"id": 6, **HIRE}, record])
    assert codes_of(validated) == [expected]
    assert validated.rejects[0].record is record
    assert validated.rows == [(6, "Ana Gómez", "2021-07-27T16:02:08", 1, 2)]


def test_a_record_without_its_id_is_rejected() -> None:
    assert codes_of(batch.from_records(EMPLOYEES, [HIRE])) == [("id", "missing")]


def test_rows_rejected_later_keep_the_order_of_positions() -> None:
    validated = batch.from_json(JOBS, b'[{"job":"A"},{"job":""},{"job":"B"},{"job":"C"}]')
    error = validated.rejects[0].errors
    validated.reject({0: error, 2: error})
    assert (validated.rows, list(validated.positions)) == ([("B",)], [2])
    assert [reject.position for reject in validated.rejects] == [0, 1, 3]
    assert msgspec.json.encode(validated.rejects[2].record) == b'{"job":"C"}'
