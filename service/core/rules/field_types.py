"""The types of fields. One object has all rules of a type.

A valid value is an int, a bool or a text, equal to what the database returns for it.
If all texts of a column are plain, they are validated in one step, ten times as fast. `read`
decides on all other texts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from service.core.rules.decimals_and_dates import PLAIN_DAY, Amount, Day
from service.core.rules.fields import (
    CONTROL,
    MAX_TEXT,
    PATTERN,
    Instant,
    Reasons,
    ValueRefused,
    kind_of,
    parse_instant,
    read_instant,
)
from service.core.rules.kind import Column, Kind, Reading

BIGINT = 2**63
MAX_PRECISION, MAX_SCALE = 65, 30  # of a DECIMAL on every engine

_INSTANT = rf"{PLAIN_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z"

_number = re.compile(r"[1-9][0-9]{0,8}").fullmatch
_short_integer = re.compile(r"0|-?[1-9][0-9]{0,18}").fullmatch
_integer = re.compile(r"0|-?[1-9][0-9]*").fullmatch


class Whole(Kind):
    """A whole number between two bounds, both in a BIGINT."""

    literal = 20

    def __init__(self, low: int = -BIGINT, high: int = BIGINT - 1):
        self.low, self.high = low, high
        self.wire = Annotated[int, Meta(ge=low, le=high, description=f"{low} … {high}")]
        self.avro = "int" if low >= -(1 << 31) and high < 1 << 31 else "long"
        self.stored = 4 if self.avro == "int" else 8
        self.packed, self.readable = "long", ("int", "long")
        self.example = min(max(low, 1), high)
        self._wide = low <= 1 and high >= 999_999_999

    def column(self, texts: Column) -> Sequence[int] | None:
        distinct = set(texts)
        digits = "".join(distinct)
        plain = digits.isascii() and digits.isdecimal() and min(distinct) >= "1"
        if not self._wide or not plain or max(map(len, distinct)) > 9:
            return None
        if len(distinct) * 2 > len(texts):
            return list(map(int, texts))
        values = {text: int(text) for text in distinct}
        return [values[text] for text in texts]

    def each(self, texts: Column) -> list[int | None]:
        if self._wide and self.low == 1:
            return [int(text) if _number(text) else None for text in texts]
        low, high = self.low, self.high
        return [
            value if _short_integer(text) and low <= (value := int(text)) <= high else None
            for text in texts
        ]

    def read(self, text: str) -> Reading:
        if not _integer(text):
            return None, [("type", f"must be a whole number in plain digits, not {text[:40]!r}")]
        # A longer integer is out of range, as its first digits are.
        value = int(text[:30])
        return value, self.explain(value)

    def explain(self, value: object) -> Reasons:
        if isinstance(value, bool) or not isinstance(value, int):
            yield "type", f"must be a whole number, not {kind_of(value)}"
        elif not self.low <= value <= self.high:
            yield "out_of_range", f"must be between {self.low} and {self.high}"


class Text(Kind):
    """Text with a limit of characters, not blank, without control characters."""

    avro = packed = "string"
    in_texts = True
    stored = 2
    readable = ("string", "bytes")
    example = "text"

    def __init__(self, longest: int = MAX_TEXT):
        self.longest = longest
        # A character has at most four bytes, an escaped one two. The text has two quotes.
        self.literal = 4 * longest + 2
        described = f"1 to {longest} characters, not blank, no control characters"
        limits = Meta(min_length=1, max_length=longest, pattern=PATTERN, description=described)
        self.wire = Annotated[str, limits]

    def column(self, texts: Column) -> Column | None:
        # A printable text has no control characters and no white space other than U+0020.
        plain = "".join(texts).isprintable() and min(texts) > "!"
        return texts if plain and max(map(len, texts)) <= self.longest else None

    def each(self, texts: Column) -> list[str | None]:
        longest = self.longest
        return [
            text if text.isprintable() and text > "!" and len(text) <= longest else None
            for text in texts
        ]

    def read(self, text: str) -> Reading:
        return text, self.explain(text)

    def explain(self, value: object) -> Reasons:
        if not isinstance(value, str):
            yield "type", f"must be a string, not {kind_of(value)}"
            return
        if not value.strip():
            yield "blank", "must not be blank"
        if len(value) > self.longest:
            yield "too_long", f"has {len(value)} characters, {self.longest} are the limit"
        if control := CONTROL.search(value):
            code, place = f"U+{ord(control[0]):04X}", control.start() + 1
            yield "control_character", f"has the control character {code} at character {place}"


class _TextForm(Kind):
    """A type whose values are texts in statements. Each value has exactly one text."""

    def __init__(self, wire: Any, plain: str):
        self.wire = wire
        self._one = re.compile(plain).fullmatch
        self._lines = re.compile(f"(?:{plain}\n)*+").fullmatch

    def column(self, texts: Column) -> Column | None:
        lines = "\n".join(texts) + "\n"
        # A text with a line break may have two values.
        return texts if self._lines(lines) and lines.count("\n") == len(texts) else None

    def each(self, texts: Column) -> list[str | None]:
        one = self._one
        return [text if one(text) else None for text in texts]

    def read(self, text: str) -> Reading:
        try:
            return self.wire.of(text), []
        except ValueRefused as error:
            return None, [(error.code, str(error))]

    def explain(self, value: object) -> Reasons:
        try:
            decode(self.wire, value)
        except ValueRefused as error:
            yield error.code, str(error)


class Moment(_TextForm):
    """A moment in UTC, with microseconds."""

    avro = {"type": "long", "logicalType": "local-timestamp-micros"}  # noqa: RUF012 - never changed
    packed = "long"
    in_texts = True
    literal, stored = 28, 8
    readable = ("string", "bytes", "long")
    example = "2021-07-27T16:02:08Z"

    def __init__(self, *, assume_utc: bool = False) -> None:
        super().__init__(Instant, _INSTANT)
        self._assume_utc = assume_utc

    @property
    def at_utc(self) -> Kind:
        return Moment(assume_utc=True)

    def column(self, texts: Column) -> Column | None:
        plain = super().column(texts)
        return None if plain is None else "\n".join(plain).replace("Z", "").split("\n")

    def each(self, texts: Column) -> list[str | None]:
        one = self._one
        return [text[:-1] if one(text) else None for text in texts]

    def read(self, text: str) -> Reading:
        value = read_instant(text, assume_utc=self._assume_utc)
        return (value, ()) if isinstance(value, Instant) else (None, (value,))

    def shown(self, value: Any) -> str:
        return f"{value}Z"


class Date(_TextForm):
    """A date without a time."""

    avro = {"type": "int", "logicalType": "date"}  # noqa: RUF012 - never changed
    packed = "long"
    in_texts = True
    literal, stored = 12, 3
    readable = ("int", "string")
    example = "2021-07-27"

    def __init__(self) -> None:
        super().__init__(Day, PLAIN_DAY)


class Fixed(_TextForm):
    """A decimal number with a fixed number of decimals."""

    packed = "bytes"
    readable = ("bytes", "string")

    def __init__(self, precision: int, scale: int):
        if not 0 <= scale <= MAX_SCALE or not max(scale, 1) <= precision <= MAX_PRECISION:
            raise TypeError(f"DECIMAL({precision}, {scale}) does not exist on every engine")
        self.precision, self.scale = precision, scale
        # Plus a sign, a zero, a point and two quotes.
        self.literal = precision + 5
        # Four bytes for nine digits, on each side of the point.
        self.stored = precision // 9 * 4 + 8
        digits = {"precision": precision, "scale": scale}
        self.avro = {"type": "bytes", "logicalType": "decimal", **digits}
        whole = precision - scale
        self.example = f"{'1' if whole else '0'}.{'5':0<{scale}}" if scale else "1"
        wire = type(f"Decimal_{precision}_{scale}", (Amount,), {"__slots__": (), **digits})
        # Zero has no sign.
        plain = rf"(?:0|-?[1-9][0-9]{{0,{whole - 1}}})" if whole else "0"
        super().__init__(wire, plain + (rf"\.[0-9]{{{scale}}}" if scale else ""))


class Boolean(Kind):
    """True or false."""

    wire = bool
    literal, stored = 5, 1
    avro = packed = "boolean"
    readable = ("boolean",)
    example = True
    _values: dict[str, bool] = {"true": True, "false": False}  # noqa: RUF012 - never changed

    def column(self, texts: Column) -> Sequence[bool] | None:
        return [text == "true" for text in texts] if self._values.keys() >= set(texts) else None

    def each(self, texts: Column) -> list[bool | None]:
        return [self._values.get(text) for text in texts]

    def read(self, text: str) -> Reading:
        if text in self._values:
            return self._values[text], []
        return None, [("type", f"must be true or false, not {text[:40]!r}")]

    def explain(self, value: object) -> Reasons:
        if not isinstance(value, bool):
            yield "type", f"must be true or false, not {kind_of(value)}"

    def shown(self, value: Any) -> bool:
        return bool(value)


def decode(kind: Any, value: object) -> Any:
    """msgspec's hook for our own types."""
    # Moments are frequent: this saves a call for each.
    if kind is Instant and isinstance(value, str):
        return parse_instant(value)
    return kind.of(value)
