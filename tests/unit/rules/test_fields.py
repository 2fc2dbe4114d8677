"""The types of the data dictionary: accepted values, and the codes of others."""

from __future__ import annotations

import re
import sys
import time
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.rules.field_types import Moment, Text
from service.core.rules.fields import (
    MAX_ID,
    PATTERN,
    ValueRefused,
    parse_instant,
    read_instant,
)
from service.core.tables import ID

ACCEPTED = {
    "2021-07-27T16:02:08Z": "2021-07-27T16:02:08",
    "2021-07-27T16:02Z": "2021-07-27T16:02:00",
    "2021-07-27T16:02:08.5Z": "2021-07-27T16:02:08.500000",
    "2021-07-27T16:02:08.000001Z": "2021-07-27T16:02:08.000001",
    "2021-07-27T16:02:08.000000Z": "2021-07-27T16:02:08",
    "2021-07-27T16:02:08+00:00": "2021-07-27T16:02:08",
    "2021-07-27T16:02:08-00:00": "2021-07-27T16:02:08",
    "2021-07-27T16:02:08+02:00": "2021-07-27T14:02:08",
    "2021-07-27T16:02:08+0200": "2021-07-27T14:02:08",
    "2021-07-27T16:02:08+02": "2021-07-27T14:02:08",
    "2021-07-27T16:02:08.25-05:30": "2021-07-27T21:32:08.250000",
    "2021-01-01T00:30:00+14:00": "2020-12-31T10:30:00",
    "2024-02-29T23:59:59Z": "2024-02-29T23:59:59",
    "2021-01-31T12:00:00Z": "2021-01-31T12:00:00",
    "1000-01-01T00:00:00Z": "1000-01-01T00:00:00",
    "0999-12-31T23:00:00-01:00": "1000-01-01T00:00:00",
    "9999-12-31T23:59:59.999999Z": "9999-12-31T23:59:59.999999",
}
REJECTED = {
    "2021-07-27T16:02:08": "format",
    "2021-07-27": "format",
    "2021-07-27T16Z": "format",
    "2021-07-27 16:02:08Z": "format",
    "2021-07-27t16:02:08z": "format",
    "2021-07-27T16:02:08 Z": "format",
    "2021-07-27T16:02:08Z ": "format",
    "2021-07-27T16:02:08Z\n": "format",
    "2021-07-27T16:02:08ZZ": "format",
    "2021-07-27T16:02:08.Z": "format",
    "2021-07-27T16:02:08,5Z": "format",
    "2021-07-27T16:02:08.1234567Z": "format",
    "2021-07-27T24:00:00Z": "format",
    "2021-07-27T16:60:00Z": "format",
    "2021-12-31T23:59:60Z": "format",
    "2021-07-27T16:02:08+24:00": "format",
    "2021-07-27T16:02:08+02:60": "format",
    "2021-07-27T16:02:08[Europe/Vienna]": "format",
    "2021-02-30T00:00:00Z": "format",
    "2021-02-29T00:00:00Z": "format",
    "2021-13-01T00:00:00Z": "format",
    "2021-00-10T00:00:00Z": "format",
    "2021-04-31T00:00:00Z": "format",
    "2021-7-27T16:02:08Z": "format",
    "2021-W30-2T16:02:08Z": "format",
    "2021-208T16:02:08Z": "format",
    "20210727T160208Z": "format",
    "+02021-07-27T16:02:08Z": "format",
    "٢٠٢١-07-27T16:02:08Z": "format",
    "1627401728": "format",
    "yesterday": "format",
    "": "format",
    "0000-01-01T00:00:00Z": "format",
    "0999-12-31T23:59:59Z": "out_of_range",
    "1000-01-01T00:00:00+00:01": "out_of_range",
    "0001-01-01T00:00:00+14:00": "out_of_range",
    "9999-12-31T23:59:59-01:00": "out_of_range",
}


@pytest.mark.parametrize(("text", "stored"), ACCEPTED.items())
def test_an_instant_is_stored_in_utc(text: str, stored: str) -> None:
    assert parse_instant(text) == stored


@pytest.mark.parametrize(("text", "code"), REJECTED.items())
def test_other_texts_are_refused_as_instants(text: str, code: str) -> None:
    with pytest.raises(ValueRefused) as caught:
        parse_instant(text)
    assert caught.value.code == code


def test_a_missing_offset_is_explained_and_can_be_assumed() -> None:
    with pytest.raises(ValueRefused, match=r"add Z for UTC, or an offset such as \+02:00"):
        parse_instant("2021-07-27T16:02:08")
    assert read_instant("2021-07-27T16:02:08", assume_utc=True) == "2021-07-27T16:02:08"


def test_assuming_utc_leaves_a_given_offset_alone() -> None:
    assert read_instant("2021-07-27T16:02:08+02:00", assume_utc=True) == "2021-07-27T14:02:08"


zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))


@given(st.datetimes(datetime(1000, 1, 3), datetime(9999, 12, 29)), zones)  # noqa: DTZ001 - in UTC
def test_every_moment_survives_its_text(moment: datetime, zone: timezone) -> None:
    there = moment.replace(tzinfo=UTC).astimezone(zone)
    assert parse_instant(there.isoformat()) == moment.isoformat()


@pytest.mark.parametrize("value", [1627401728, 1.5, True, None, [], {}, datetime.now(UTC)])
def test_an_instant_is_a_string(value: object) -> None:
    assert [code for code, _ in Moment().explain(value)] == ["type"]


@pytest.mark.parametrize("text", ["a", "x" * 255, "😀" * 255, 'O\'Brien "Q" \\ %s', "שלום", " a "])
def test_text_of_1_to_255_characters_passes(text: str) -> None:
    assert list(Text().explain(text)) == []


@pytest.mark.parametrize(
    ("value", "codes"),
    [
        ("", ["blank"]),
        ("   ", ["blank"]),
        ("\u00a0\u3000", ["blank"]),
        ("x" * 256, ["too_long"]),
        ("😀" * 256, ["too_long"]),
        (" " * 256, ["blank", "too_long"]),
        ("a\x00b", ["control_character"]),
        ("a\n", ["control_character"]),
        ("\x7f", ["control_character"]),
        ("a\x85b", ["control_character"]),
        ("a\ud800b", ["control_character"]),
        ("\t", ["blank", "control_character"]),
        ("\x01" * 256, ["too_long", "control_character"]),
        (5, ["type"]),
        (True, ["type"]),
        (None, ["type"]),
        (["a"], ["type"]),
    ],
)
def test_text_has_every_error(value: object, codes: list[str]) -> None:
    assert [code for code, _ in Text().explain(value)] == codes


def test_text_that_breaks_a_rule_is_refused_in_linear_time() -> None:
    pattern = re.compile(PATTERN).search
    started = time.process_time()
    for text in ("x" * 100_000, " " * 100_000, "x " * 50_000):
        assert not pattern(f"{text}\x7f")
    assert time.process_time() - started < 1


def test_blank_is_what_python_calls_white_space() -> None:
    pattern = re.compile(PATTERN).search
    for character in map(chr, range(sys.maxunicode + 1)):
        right = not character.isspace() and unicodedata.category(character) not in ("Cc", "Cs")
        assert bool(pattern(character)) == right, repr(character)


def test_a_control_character_is_named_with_its_place() -> None:
    ((_, message),) = Text().explain("ab\x07")
    assert message == "has the control character U+0007 at character 3"


@pytest.mark.parametrize("value", [1, 5, MAX_ID])
def test_ids_from_1_to_2147483647_pass(value: int) -> None:
    assert list(ID.kind.explain(value)) == []


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, "out_of_range"),
        (-1, "out_of_range"),
        (MAX_ID + 1, "out_of_range"),
        (10**30, "out_of_range"),
        ("5", "type"),
        (5.0, "type"),
        (True, "type"),
        (None, "type"),
        ({}, "type"),
    ],
)
def test_other_values_are_refused_as_ids(value: object, code: str) -> None:
    assert [found for found, _ in ID.kind.explain(value)] == [code]
