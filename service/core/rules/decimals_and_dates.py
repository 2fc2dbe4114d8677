"""Decimal numbers and dates, as texts in the form that the database returns."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar, Self

from service.core.rules.fields import ValueRefused, kind_of

_decimal = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?").fullmatch
_date = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch

# 29 February only in years that end in a multiple of four other than 00.
PLAIN_DAY = (
    r"(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|[1-9][0-9](?:0[48]|[2468][048]|[13579][26])-02-29)"
)
"""Matches most dates, and only valid ones."""

FIRST_DAY = date(1000, 1, 1)
EXPONENT = 100
"""A number with a larger exponent, positive or negative, is not written in plain digits."""


class Amount(str):
    """A decimal number with all its decimals, such as `12.50`."""

    __slots__ = ()
    precision: ClassVar[int]
    scale: ClassVar[int]

    @classmethod
    def of(cls, value: object) -> Self:
        """A text in plain digits, or a number, if it needs no rounding; ValueRefused."""
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise ValueRefused("type", f"must be a decimal number, not {kind_of(value)}")
        text = value if isinstance(value, str) else _written_out(value)
        match = _decimal(text)
        if match is None:
            raise ValueRefused(
                "format", f"must be a decimal number in plain digits, not {text[:40]!r}"
            )
        sign, whole, decimals = match.groups(default="")
        if len(decimals) > cls.scale:
            raise ValueRefused("format", f"has {len(decimals)} decimals, {cls.scale} are the limit")
        if len(whole.lstrip("0")) > cls.precision - cls.scale:
            raise ValueRefused(
                "out_of_range", f"must be between -{cls.largest()} and {cls.largest()}"
            )
        digits = f"{whole}.{decimals:0<{cls.scale}}".removesuffix(".")
        return cls(f"{sign}{digits}" if digits.strip("0.") else digits)

    @classmethod
    def largest(cls) -> str:
        """The largest number."""
        nines = "9" * cls.precision
        whole = cls.precision - cls.scale
        return f"{nines[:whole] or 0}.{nines[whole:]}".removesuffix(".")

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Its JSON Schema."""
        whole, scale = cls.precision - cls.scale, cls.scale
        more = rf"|[1-9][0-9]{{0,{whole - 1}}}" if whole else ""
        decimals = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
        described = f"{cls.precision} digits at most, {scale} of them decimals"
        return {
            "type": "string",
            "pattern": f"^-?(0{more}){decimals}$",
            "description": f"{described}; a JSON number is accepted, too",
        }


def _written_out(number: float | Decimal) -> str:
    """A number in plain digits: of a float the shortest text with the same value, as in JSON."""
    exact = number if isinstance(number, Decimal) else Decimal(repr(number))
    if not exact.is_finite() or abs(exact.adjusted()) > EXPONENT:
        return str(exact)
    return f"{exact:f}"


class Day(str):
    """A date as MySQL reads it: `2021-07-27`."""

    __slots__ = ()

    @classmethod
    def of(cls, value: object) -> Self:
        """An ISO 8601 date; ValueRefused."""
        if not isinstance(value, str):
            raise ValueRefused("type", f"must be an ISO 8601 string, not {kind_of(value)}")
        if not _date(value):
            raise ValueRefused("format", "is not an ISO 8601 date such as 2021-07-27")
        try:
            day = date.fromisoformat(value)
        except ValueError:
            raise ValueRefused("format", "is no real date") from None
        if day < FIRST_DAY:
            raise ValueRefused("out_of_range", "must be in the years 1000 to 9999")
        return cls(value)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Its JSON Schema."""
        return {"type": "string", "format": "date", "description": "in the years 1000 to 9999"}
