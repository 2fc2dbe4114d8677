"""Reads the annotations of a struct: the kind of a field, and whether it is optional."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Meta

from service.core.rules.field_types import Boolean, Date, Fixed, Moment, Text, Whole
from service.core.rules.fields import PATTERN, Instant
from service.core.rules.kind import Kind

BASES: dict[Any, tuple[Callable[..., Kind], frozenset[str]]] = {
    int: (Whole, frozenset({"ge", "le"})),
    str: (Text, frozenset({"max_length", "min_length", "pattern"})),
    bool: (Boolean, frozenset()),
    date: (Date, frozenset()),
    Decimal: (Fixed, frozenset()),
    Instant: (Moment, frozenset()),
}
"""The types that a field can have, with the constraints of msgspec's Meta that it supports."""

_PARAMETERS = {"ge": "low", "le": "high", "max_length": "longest"}
_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")


def kind_for(base: Any, metas: Sequence[Meta]) -> Kind:
    """The kind of an annotation without `| None`; TypeError for other types and constraints."""
    if base not in BASES:
        raise TypeError(f"{base} is not a type of a field; use {', '.join(map(str, BASES))}")
    make, supported = BASES[base]
    constraints = {
        name: value
        for meta in metas
        for name in _CONSTRAINTS
        if (value := getattr(meta, name)) is not None
    }
    if constraints.keys() - supported or constraints.get("pattern", PATTERN) != PATTERN:
        names = ", ".join(sorted(supported)) or "no constraint"
        raise TypeError(f"{base} supports {names} only")
    parameters = {
        _PARAMETERS[name]: value for name, value in constraints.items() if name in _PARAMETERS
    }
    extras = {name: value for meta in metas for name, value in (meta.extra or {}).items()}
    digits = {name: extras[name] for name in ("precision", "scale") if name in extras}
    if base is Decimal and len(digits) < 2:
        raise TypeError("a Decimal needs its digits: Annotated[Decimal, digits(10, 2)]")
    return make(**parameters, **digits)


def digits(precision: int, scale: int) -> Meta:
    """The constraint of a Decimal: the number of its digits, and how many of them are decimals."""
    return Meta(extra={"precision": precision, "scale": scale})


def unwrap(hint: Any) -> tuple[Any, list[Meta], bool]:
    """(type, constraints, whether it is optional) of an annotation."""
    if get_origin(hint) is Annotated:
        inner, *metas = get_args(hint)
        base, others, optional = unwrap(inner)
        return base, [*others, *metas], optional
    if get_origin(hint) in (Union, UnionType) and NoneType in get_args(hint):
        inner, *more = (one for one in get_args(hint) if one is not NoneType)
        if more:
            raise TypeError(f"a field has one type, optional or not, not {hint}")
        base, metas, _ = unwrap(inner)
        return base, metas, True
    return hint, [], False
