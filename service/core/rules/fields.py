"""Values of fields: ids, texts and moments, and the errors of values that break a rule."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeGuard

from msgspec import Meta, Struct

MAX_ID = 2_147_483_647
MAX_LONG = 2**63 - 1
"""The largest number of a reject, a change, or any row of the service's own tables."""
MAX_TEXT = 255
EARLIEST, LATEST = datetime(1000, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)

Code = Literal[
    "missing",
    "unknown_field",
    "type",
    "blank",
    "too_long",
    "out_of_range",
    "format",
    "control_character",
    "not_found",
    "duplicate",
    "malformed",
]
Reason = tuple[Code, str]
Reasons = Iterator[Reason]


class Error(Struct, frozen=True):
    """One broken rule: the field (None: the whole row), the code, and a message with what to do."""

    field: str | None
    code: Code
    message: str


@lru_cache(maxsize=1024)
def error_of(field: str, code: Code, message: str) -> Error:
    """The error of a field. Rejects have few different ones, so equal ones are the same object."""
    return Error(field, code, f"{field} {message}")


NOT_VALIDATED = Error(
    None,
    "malformed",
    "could not be validated because of a fault in the program. The log of the service has more.",
)
"""The error of a row whose validation failed unexpectedly."""

# Lone surrogates are in the class because they have no encoding.
_CONTROL = "\x00-\x1f\x7f-\x9f\ud800-\udfff"
# All white space that is not a control character. Not \s, which has U+FEFF in JavaScript.
_BLANK = " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
CONTROL = re.compile(f"[{_CONTROL}]")
PATTERN = rf"^[{_BLANK}]*[^{_BLANK}{_CONTROL}][^{_CONTROL}]*\Z"
"""Matches text that is not blank and has no control characters.

A text matches in one way at most, so that a mismatch takes linear time.
"""

Id = Annotated[int, Meta(ge=1, le=MAX_ID)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]


class Instant(str):
    """A moment in UTC as MySQL reads it: `2021-07-27T16:02:08[.ffffff]`, without an offset."""

    __slots__ = ()

    @classmethod
    def of(cls, value: object) -> Instant:
        """ISO 8601 text with `Z` or an offset; ValueRefused."""
        # MessagePack's timestamps have nanoseconds, which msgspec would round.
        if not isinstance(value, str):
            raise ValueRefused("type", f"must be an ISO 8601 string, not {kind_of(value)}")
        return parse_instant(value)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Its JSON Schema."""
        described = "ISO 8601 with Z or an offset; shown in UTC"
        return {"type": "string", "format": "date-time", "description": described}


class ValueRefused(ValueError):
    """A value breaks a rule of its field; has the code."""

    def __init__(self, code: Code, message: str):
        super().__init__(message)
        self.code = code


# Most moments: whole seconds, Z, a day that every month has. They need no other check.
_plain = re.compile(
    r"[1-9][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"
).fullmatch
_iso = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T((?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?)"
    r"(\.[0-9]+)?(Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
).fullmatch


def parse_instant(text: str) -> Instant:
    """The Instant of an ISO 8601 text with `Z` or an offset; ValueRefused."""
    if _plain(text):
        return Instant(text[:-1])
    value = read_instant(text)
    if isinstance(value, Instant):
        return value
    raise ValueRefused(*value)


def read_instant(text: str, *, assume_utc: bool = False) -> Instant | Reason:
    """The Instant of an ISO 8601 text, or what is wrong: an exception takes longer."""
    match = _iso(text)
    if match is None:
        return "format", "is not an ISO 8601 datetime such as 2021-07-27T16:02:08Z"
    day, clock, fraction, offset = match.groups()
    if offset is None and not assume_utc:
        return "format", "has no offset: add Z for UTC, or an offset such as +02:00"
    if fraction and len(fraction) > 7:
        return "format", "has more than six decimals: microseconds are the limit"
    if not _exists(day):
        return "format", "is no real date and time"
    return _to_utc(f"{day}T{clock}{fraction or ''}{offset or 'Z'}")


@lru_cache(maxsize=1024)
def _exists(day: str) -> bool:
    # Wrong days repeat, and an exception takes longer than everything else in `read_instant`.
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True


def _to_utc(iso: str) -> Instant | Reason:
    """A real moment as ISO text in UTC, or why not: it is in a year out of range."""
    moment = datetime.fromisoformat(iso)
    try:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        moment = datetime.min
    if not EARLIEST <= moment <= LATEST:
        return "out_of_range", "must be in the years 1000 to 9999 in UTC"
    return Instant(moment.isoformat())


def is_id(value: object) -> TypeGuard[int]:
    """Whether `value` can be an id."""
    return type(value) is int and 1 <= value <= MAX_ID


_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


def kind_of(value: object) -> str:
    """The name of a JSON value's type, for messages."""
    if value is None:
        return "null"
    if isinstance(value, float | Decimal):
        return "a number with decimals"
    if isinstance(value, int) and not isinstance(value, bool):
        return "a number"
    return _KINDS.get(type(value), f"a {type(value).__name__}")
