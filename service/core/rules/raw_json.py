"""JSON as it was sent: rows told apart without being read, and values of any kind.

A program that cuts a text in the middle of an emoji writes half a surrogate pair. Such a row
cannot be stored, but msgspec refuses the whole body for it: then the standard library splits it.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from service.core.errors import MalformedError

_SPACE = " \t\n\r"
_half = re.compile(rb"\\u[dD][89a-fA-F]").search
_start = re.compile(f"\\[[{_SPACE}]*").match
_comma = re.compile(f"[{_SPACE}]*,[{_SPACE}]*").match

_rows = msgspec.json.Decoder(list[Raw]).decode
# Numbers that no float can hold are numbers too.
_value = msgspec.json.Decoder(float_hook=Decimal).decode


def split_rows(body: bytes) -> list[Raw]:
    """The elements of a JSON array; MalformedError."""
    try:
        return _rows(body)
    except msgspec.ValidationError:
        raise MalformedError("The body must be a JSON array of rows, or one row.") from None
    except (msgspec.DecodeError, RecursionError) as error:
        found = _split(body.decode().strip(_SPACE)) if _half(body) else []
        if not found:
            raise MalformedError(f"The body is not valid JSON: {error}") from None
        return found


def decode_value(raw: Raw | bytes) -> Any:
    """What a JSON text says; ValueError."""
    try:
        return _value(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        if not _half(bytes(raw)):
            raise ValueError(str(error)) from None
    try:
        return _json.decode(bytes(raw).decode())
    except RecursionError as error:
        raise ValueError(str(error)) from None


def _split(text: str) -> list[Raw]:
    """The elements of an array, nothing if it is none."""
    found: list[Raw] = []
    start = _start(text)
    try:
        while start:
            at = start.end()
            end = _json.raw_decode(text, at)[1]
            found.append(Raw(text[at:end].encode()))
            start = _comma(text, end)
            if start is None and text[end:].lstrip(_SPACE) == "]":
                return found
    except (ValueError, RecursionError):
        pass
    return []


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_json = json.JSONDecoder(parse_constant=_refuse, parse_float=Decimal)
