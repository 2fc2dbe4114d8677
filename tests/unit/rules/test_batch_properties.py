"""A row has the same result alone and in a batch, for every format."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from service.core.rules import avro_records, batch
from service.core.rules.batch import Batch, Row
from service.core.rules.explain import explain
from service.core.rules.field_types import Whole
from service.core.rules.formats import from_ndjson
from service.core.rules.kind import Kind
from service.core.tables import TABLES, Table, by_path

MOMENT = "2021-07-27T16:02:08Z"
texts = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["x" * 255, "x" * 256, "😀" * 255, " ", "\u2028", "a\x7f", "null", "a\n"]),
)
numbers = st.one_of(
    st.integers(1, 9), st.sampled_from([0, -1, 2**31 - 1, 2**31, 2**63, 2**64, 10**30, 1.0, 1e300])
)
moments = st.one_of(
    st.just(MOMENT),
    st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    st.from_regex(r"\A(0001|2021|9999)-(02-30|12-31)T(2[0-4]:59|23:59:(59|60))(Z|[+-]14:00)?\Z"),
)
values = st.one_of(texts, numbers, moments, st.none(), st.booleans(), st.just([1]), st.just({}))
spellings = st.one_of(
    texts,
    numbers.map(str),
    moments,
    st.sampled_from(["", "007", "+5", "5.0", "1e3", "1_000", "-0", "٣"]),
)


def objects(table: Table, *, with_id: bool) -> st.SearchStrategy[Any]:
    """Mostly good rows, some with wrong values, missing fields or extra fields."""
    fields = table.stored_fields if with_id else table.fields
    good = {field.name: _good(field.kind) for field in fields}
    broken = st.dictionaries(st.sampled_from([*good, "id", "extra"]), values, max_size=3)
    whole = st.builds(lambda row, other: row | other, st.fixed_dictionaries(good), broken)
    return st.one_of(whole, broken, values)


def _good(kind: Kind) -> st.SearchStrategy[Any]:
    return st.integers(1, 9) if isinstance(kind, Whole) else st.just(kind.example)


def lines(table: Table) -> st.SearchStrategy[list[str]]:
    good = st.tuples(*(_good(field.kind).map(str) for field in table.stored_fields)).map(list)
    broken = st.tuples(st.integers(0, len(table.columns) - 1), spellings)
    whole = st.builds(
        lambda line, other: [*line[: other[0]], other[1], *line[other[0] + 1 :]], good, broken
    )
    return st.one_of(good, whole, st.lists(spellings, max_size=6))


def verdicts(validated: Batch) -> dict[int, Row | list[str]]:
    """By position: the row, or the errors of the reject."""
    good = dict(zip(validated.positions, validated.rows, strict=True))
    bad = {reject.position: [str(error) for error in reject.errors] for reject in validated.rejects}
    assert good.keys().isdisjoint(bad)
    return good | bad


def from_json(table: Table, rows: list[Any]) -> Batch:
    return batch.from_json(table, msgspec.json.encode(rows))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
@given(st.data())
def test_an_object_has_the_same_result_alone_and_in_a_batch(
    table: Table, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(objects(table, with_id=False), min_size=1, max_size=4))
    together = verdicts(from_json(table, rows))
    row_by_row = verdicts(from_json(table, [*rows, None]))
    for at, row in enumerate(rows):
        assert together[at] == row_by_row[at] == verdicts(from_json(table, [row]))[0]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
@given(st.data())
def test_a_line_has_the_same_result_alone_and_in_a_batch(table: Table, data: st.DataObject) -> None:
    records = data.draw(st.lists(lines(table), min_size=1, max_size=4))
    together = verdicts(batch.from_texts(table, records))
    row_by_row = verdicts(batch.from_texts(table, [*records, []]))
    for at, record in enumerate(records):
        alone = verdicts(batch.from_texts(table, [record]))[0]
        assert together[at] == row_by_row[at] == alone


fragments = st.sampled_from(
    ['{"job":', '"x"', "}", '{"job":"x"}', " ", "\r", ",", "\ud800", "\x00"]
)


@example(['{"job":"x"}{"job":"y"}', '{"job":', '"z"}'])
@given(st.lists(st.lists(fragments, max_size=3).map("".join), min_size=1, max_size=4))
def test_a_line_of_ndjson_has_the_same_result_alone_and_in_a_batch(sent: list[str]) -> None:
    table = by_path("jobs")
    encoded = [one for line in sent if (one := line.encode(errors="surrogatepass")).strip()]
    assume(encoded)
    together = verdicts(from_ndjson(table, b"\n".join(encoded)))
    alone = [verdicts(from_ndjson(table, line))[0] for line in encoded]
    assert [together[at] for at in range(len(encoded))] == alone


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
@given(st.data())
def test_a_record_has_the_same_result_alone_and_in_a_batch(
    table: Table, data: st.DataObject
) -> None:
    records = data.draw(st.lists(objects(table, with_id=True), min_size=1, max_size=4))
    together = verdicts(batch.from_records(table, records))
    row_by_row = verdicts(batch.from_records(table, [*records, None]))
    for at, record in enumerate(records):
        alone = verdicts(batch.from_records(table, [record]))[0]
        assert together[at] == row_by_row[at] == alone


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
@given(st.data())
def test_an_object_is_valid_if_and_only_if_it_has_no_errors(
    table: Table, data: st.DataObject
) -> None:
    row = data.draw(objects(table, with_id=False))
    sent = msgspec.json.decode(msgspec.json.encode(row))
    valid = bool(from_json(table, [row]).rows)
    assert valid == (explain(table.fields, sent) == [])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
@given(st.data())
def test_every_error_names_its_field_and_a_code_of_the_contract(
    table: Table, data: st.DataObject
) -> None:
    row = data.draw(objects(table, with_id=False))
    for reject in from_json(table, [row]).rejects:
        assert reject.errors
        assert all(error.code != "malformed" for error in reject.errors)


@given(st.datetimes(datetime(1000, 1, 1)))  # noqa: DTZ001 - in UTC
def test_a_moment_is_the_same_in_every_format(moment: datetime) -> None:
    text, employees = f"{moment.isoformat()}Z", by_path("employees")
    rest = {"name": "x", "department_id": 1, "job_id": 1}
    (posted,) = from_json(employees, [{"datetime": text, **rest}]).rows
    (line,) = batch.from_texts(employees, [["7", "x", text, "1", "1"]]).rows
    micros = (moment - avro_records.EPOCH) // avro_records.MICROSECOND
    (record,) = avro_records.validate(employees, [{"id": 7, "datetime": micros, **rest}]).rows
    assert (7, *posted) == line == record
