"""The struct of a fourth table, with required and optional fields of each type."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct

from service.core.rules.annotations import digits
from service.core.rules.fields import Id, Instant, Text


class Contract(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A contract of an employee."""

    title: Annotated[Text, Meta(examples=["Permanent"], extra={"index": ("title", "id")})]
    note: Text | None = None
    employee_id: Annotated[Id, Meta(extra={"references": "hired_employees"})]
    job_id: Annotated[Id | None, Meta(extra={"references": "jobs"})] = None
    signed_at: Annotated[Instant, Meta(extra={"range": "signed"})]
    ended_at: Instant | None = None
    balance: int
    grade: Annotated[int, Meta(ge=1, le=20)] | None = None
    salary: Annotated[Decimal, digits(10, 2)]
    bonus: Annotated[Decimal | None, digits(12, 4)] = None
    remote: bool
    insured: bool | None = None
    starts_on: date
    ends_on: date | None = None
