"""JSON: texts, bodies, rows as they were sent, and the values in them.

A program that cuts a text in the middle of an emoji writes half of a surrogate pair. Other programs
write numbers of thousands of digits. Both are valid JSON, but msgspec refuses them. The standard
library reads them, so that they are errors of their own row and not of the whole body.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn, TypeVar

import msgspec
from msgspec import Raw

from service.core.errors import MalformedError

T = TypeVar("T")

_SPACE = " \t\n\r"
_half_pair = re.compile(rb"\\u[dD][89a-fA-F]").search
_array_start = re.compile(f"\\[[{_SPACE}]*").match
_comma = re.compile(f"[{_SPACE}]*,[{_SPACE}]*").match
_MAX_DIGITS = 4000
# Only from the first digit of a number, so that the search takes linear time.
_many_digits = re.compile(f"(?<![0-9])[0-9]{{{_MAX_DIGITS}}}").search


def json_text(value: Any) -> str:
    """A value in JSON, as text."""
    return msgspec.json.encode(value).decode()


def exact_text(value: Any) -> str:
    """A value in JSON, as text; a decimal is a number with the digits that it was sent with."""
    return _encode_exactly(value).decode()


def text_of(value: Any) -> str:
    """A text as it is, any other value in JSON."""
    return value if isinstance(value, str) else json_text(value)


def input_text(value: Any) -> str:
    """A value as a user writes it: a text as it is, others as exact JSON, null as empty."""
    return "" if value is None else value if isinstance(value, str) else exact_text(value)


def decode_body(body: bytes, shape: type[T], what: str) -> T:
    """A JSON body of this shape; MalformedError if it is not `what` it has to be."""
    try:
        return msgspec.json.Decoder(shape, float_hook=decimal).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"The body is not {what}: {error}.") from None


def decimal(text: str) -> Decimal:
    """A JSON number with decimals or an exponent; NaN if its exponent is too large for Decimal."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal("NaN")


def reason(error: Exception) -> str:
    """An error of msgspec without the path, which is of no use to a client."""
    if isinstance(error, RecursionError):  # Pythons word it differently, and count differently
        return "it is nested too deeply"
    return str(error).partition(" - at `$")[0].strip()


def split_rows(body: bytes) -> list[Raw]:
    """The elements of a JSON array, not decoded; MalformedError."""
    try:
        return _decode_rows(body)
    except msgspec.ValidationError:
        raise MalformedError("The body must be a JSON array of rows, or one row.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        rows = _split(body.decode().strip(_SPACE)) if _half_pair(body) else []
        if not rows:
            raise MalformedError(f"The body is not valid JSON: {reason(error)}") from None
        return rows


def decode_value(raw: Raw | bytes) -> Any:
    """The value of a JSON text; ValueError."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        refusal = reason(error)
    try:
        text = bytes(raw).decode()
        return _json_decoder(text).decode(text)
    except (ValueError, RecursionError):
        raise ValueError(refusal) from None


def _split(text: str) -> list[Raw]:
    """The elements of a JSON array; an empty list if the text is not one."""
    rows: list[Raw] = []
    start, decoder = _array_start(text), _json_decoder(text)
    try:
        while start:
            at = start.end()
            end = decoder.raw_decode(text, at)[1]
            rows.append(Raw(text[at:end].encode()))
            start = _comma(text, end)
            if start is None and text[end:].lstrip(_SPACE) == "]":
                return rows
    except (ValueError, RecursionError):
        pass
    return []


def _json_decoder(text: str) -> json.JSONDecoder:
    # Calling _integer for each number takes four times as long.
    return _json_of_long_integers if _many_digits(text) else _json


def _integer(text: str) -> int:
    # Python limits the digits of an int. With fewer digits, the number is out of range as well.
    return int(text[:_MAX_DIGITS])


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_encode_exactly = msgspec.json.Encoder(decimal_format="number").encode
_decode_rows = msgspec.json.Decoder(list[Raw]).decode
_decode = msgspec.json.Decoder(float_hook=decimal).decode
_json = json.JSONDecoder(parse_constant=_refuse, parse_float=decimal)
_json_of_long_integers = json.JSONDecoder(
    parse_constant=_refuse, parse_float=decimal, parse_int=_integer
)
