"""Types of fields: one result for columns, single texts, JSON, MessagePack and Avro."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import Annotated, Any

import fastavro
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct
from pymysql.converters import escape_item, escape_string

from service.core.backups.format import avro_schema
from service.core.backups.format.avro_schema import WrittenSchema
from service.core.database.literals import render
from service.core.rules import batch, formats
from service.core.rules.annotations import digits
from service.core.rules.field_types import Boolean, Date, Fixed, Moment, Whole
from service.core.rules.field_types import Text as TextKind
from service.core.rules.fields import Id, Instant, Text
from service.core.rules.kind import Kind
from service.core.rules.text_columns import validate
from service.core.tables import Field, Table, field_of

KINDS = [
    *(Whole(), Whole(1, 20), Whole(-5, 5), TextKind(), TextKind(5), Moment(), Date()),
    *(Fixed(10, 2), Fixed(4, 4), Fixed(3, 0), Fixed(65, 30), Boolean()),
]
NAMES = [f"{type(kind).__name__} {at}" for at, kind in enumerate(KINDS)]
NUMBER = count()
SEPARATORS = st.sampled_from([*"\n\r\t,Z \0\x1f\u2028\ud800", "\r\n", ""])
NUMBERS = "0 -0 1 -1 20 21 5 007 +5 1. .5 0.0 -0.00 0.5 -0.50 1.50 1.500 12345678.99 100000000 1e3"
OTHERS = "123456789 9223372036854775807 9223372036854775808 -9223372036854775808 true false True"
DAYS = "2021-02-29 2020-02-29 1900-02-29 0999-12-31 1000-01-01 9999-12-31 2021-1-1 2021-12-31T00:00"
texts = st.one_of(
    st.sampled_from([*NUMBERS.split(), *OTHERS.split(), *DAYS.split(), "", " ", "\u3000", "٣"]),
    st.text(max_size=6),
    st.integers().map(str),
    st.decimals(allow_nan=False).map("{:f}".format),
    st.dates().map(str),
)


def likely(kind: Kind) -> st.SearchStrategy[str]:
    """Good texts, good texts joined by separators, and any text."""
    example = (
        kind.example
        if isinstance(kind.example, str)
        else msgspec.json.encode(kind.example).decode()
    )
    good = st.just(example)
    return st.one_of(good, st.builds(str.join, SEPARATORS, st.lists(good, max_size=3)), texts)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
@settings(max_examples=50)
@given(st.booleans(), st.data())
def test_a_column_has_the_same_result_as_its_texts(
    kind: Kind, optional: bool, data: st.DataObject
) -> None:
    field = Field("x", kind, optional=optional)
    column = data.draw(st.lists(likely(kind), min_size=1, max_size=5))
    validated = validate([field], [[text] for text in column])
    rows = dict(zip(validated.positions, validated.rows, strict=True))
    for at, text in enumerate(column):
        value, reasons = kind.read(text) if text else (None, [] if optional else [("missing", "")])
        if codes := [code for code, _ in reasons]:
            assert [error.code for error in validated.errors[at]] == codes
        else:
            assert rows[at] == (value,)
    assert len(rows) + len(validated.errors) == len(column)


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
@settings(max_examples=50)
@given(st.data())
def test_a_text_has_the_same_result_in_csv_json_and_messagepack(
    kind: Kind, data: st.DataObject
) -> None:
    text = data.draw(likely(kind).filter(lambda text: text and text.isprintable()))
    table = table_of(Field("x", kind))
    line = batch.from_texts(table, [[text]], with_id=False)
    value: Any = text
    if isinstance(kind, Whole | Boolean) and line.rows:
        ((value,),) = line.rows
    elif isinstance(kind, Whole | Boolean):
        return
    posted = batch.from_json(table, msgspec.json.encode([{"x": value}]))
    packed = formats.from_msgpack(table, msgspec.msgpack.encode([{"x": value}]))
    assert posted.rows == packed.rows == line.rows
    assert [one.errors for one in posted.rejects] == [one.errors for one in packed.rejects]
    assert [one.errors for one in posted.rejects] == [one.errors for one in line.rejects]


def table_of(*fields: Field) -> Table:
    """A table with these fields, in no database."""
    # Decoders are kept by a table's names.
    table = Table("things", f"things_{next(NUMBER)}", Struct)
    table.__dict__["fields"] = fields
    return table


@given(st.decimals(-(10**9), 10**9, places=4) | st.integers() | st.floats(allow_nan=True))
def test_a_number_is_accepted_only_if_it_needs_no_rounding(number: Decimal | float) -> None:
    table = table_of(Field("x", Fixed(10, 2)))
    sent = repr(number) if isinstance(number, float) else str(number)
    validated = batch.from_json(table, f'[{{"x":{sent}}}]'.encode()) if is_json(sent) else None
    if validated and validated.rows:
        ((value,),) = validated.rows
        assert Decimal(value) == Decimal(sent)
        assert len(value.partition(".")[2]) == 2
    elif validated:
        exact = Decimal(sent)
        fits = exact == round(exact, 2) and abs(exact) < 10**8 if abs(exact) < 10**12 else False
        assert not fits or len(f"{exact:f}".partition(".")[2]) > 2
        assert validated.rejects[0].errors[0].code in ("format", "out_of_range")


def is_json(text: str) -> bool:
    return text not in ("nan", "inf", "-inf")


@given(
    st.lists(st.decimals(-99999999, 99999999, places=2), min_size=1),
    st.lists(st.dates(), min_size=1),
)
def test_decimals_and_dates_have_the_encoding_of_avro(
    numbers: list[Decimal], days: list[date]
) -> None:
    table = table_of(Field("x", Fixed(10, 2)), Field("y", Date(), optional=True))
    text = msgspec.json.encode(avro_schema.schema(table)).decode()
    (_, unpack), (_, day) = WrittenSchema(text).conversions(table)
    for number in numbers:
        packed = avro_schema.unscaled(f"{number:.2f}")
        assert packed == fastavro.logical_writers.LOGICAL_WRITERS["bytes-decimal"](
            number, avro_schema.schema(table)["fields"][1]["type"]
        )
        assert Decimal(unpack(packed)) == number
    for one in days:
        assert day((one - date(1970, 1, 1)).days) == one.isoformat()


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.tuples(
                *[
                    st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=5)),
                    st.one_of(st.none(), st.integers()),
                    st.one_of(st.none(), st.booleans()),
                    st.text(st.characters(codec="utf-8"), max_size=5),
                ][:width]
            ),
            min_size=1,
            max_size=5,
        )
    )
)
def test_rows_are_rendered_like_single_values(rows: list[tuple[Any, ...]]) -> None:
    values = f"({', '.join(['%s'] * len(rows[0]))})"
    rendered = render(values, rows, escape_string)
    assert rendered is not None
    assert rendered.decode() == ",".join(f"({', '.join(map(literal, row))})" for row in rows)


LONGEST: dict[type[Kind], Any] = {
    Whole: [-(2**63)],
    TextKind: ["'", "\\", "😀"],
    Moment: ["9999-12-31T23:59:59.999999"],
    Date: ["9999-12-31"],
    Boolean: [True, False, None],
}


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_no_value_is_longer_than_its_literal(kind: Kind) -> None:
    """Batches are written in statements of as many rows as certainly fit."""
    values = LONGEST.get(type(kind)) or [f"-{kind.wire.largest()}"]
    if isinstance(kind, TextKind):
        values = [value * kind.longest for value in values]
    table = table_of(Field("x", kind))
    for value in values:
        rendered = render("(%s)", [(value,)], escape_string)
        assert rendered is not None
        assert len(rendered) - len("()") <= kind.literal
        row = render("(%s, %s)", [(2**31, value)], escape_string)
        assert row is not None
        assert len(row) + len(",") <= table.row_bytes


def literal(value: Any) -> str:
    return str(value) if isinstance(value, bool) else str(escape_item(value, "utf8mb4"))


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (float, "not a type of a field"),
        (Decimal, "needs its digits"),
        (datetime, "not a type of a field"),
        (list[int], "not a type of a field"),
        (int | str | None, "one type"),
        (Annotated[int, Meta(multiple_of=2)], "supports .* only"),
        (Annotated[str, Meta(pattern="^a")], "supports .* only"),
        (Annotated[date, Meta(gt=1)], "supports .* only"),
        (Annotated[Decimal, digits(66, 2)], "not exist on every engine"),
        (Annotated[Decimal, digits(10, 11)], "not exist on every engine"),
    ],
    ids=str,
)
def test_an_unsupported_type_is_refused(hint: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        field_of("x", hint)


@pytest.mark.parametrize(
    "hint", [Id, Text, Instant, bool, date, int, Annotated[Decimal, digits(3, 1)]]
)
def test_none_may_stand_anywhere_in_an_annotation(hint: Any) -> None:
    for optional in (hint | None, Annotated[hint | None, Meta(examples=["x"])], None | hint):
        field = field_of("x", optional)
        assert field.optional
        assert type(field.kind) is type(field_of("x", hint).kind)
    assert not field_of("x", hint).optional
