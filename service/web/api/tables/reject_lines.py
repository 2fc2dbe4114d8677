"""Rejects as lines of CSV or NDJSON, as lists show them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import msgspec

from loader.reporting.rejects_file import quoted
from service.core.database.transactions import Database
from service.core.reads.exports import SECONDS
from service.core.reads.lines import Form, Formulas, header_of
from service.core.writes.rejects import REJECTS

FETCHED = 100
"""Rejects in one query: each has several kilobytes."""
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""As in the statements of lists: a spreadsheet in Chinese or Japanese takes the wide ones too."""

Reject = dict[str, Any]


async def stream(
    database: Database,
    parameters: Callable[[int, int], tuple[Any, ...]],
    as_object: Callable[[tuple[Any, ...]], Reject],
    columns: Iterable[str],
    form: Form,
    formulas: Formulas,
    after: int,
) -> AsyncGenerator[bytes]:
    """The file of all rejects that match, from one snapshot.

    parameters: of the statement `page`, for the rejects after an id, and their number.
    """
    names = list(columns)
    lines = _as_csv(names, formulas) if form == "csv" else _as_ndjson
    async with database.snapshot(SECONDS) as transaction:
        yield header_of(names, form)
        while rows := await transaction.fetch(REJECTS["page"], parameters(after, FETCHED)):
            yield lines([as_object(row) for row in rows])
            after = rows[-1][0]


def _as_ndjson(rejects: list[Reject]) -> bytes:
    return b"".join(msgspec.json.encode(reject) + b"\n" for reject in rejects)


def _as_csv(names: list[str], formulas: Formulas) -> Callable[[list[Reject]], bytes]:
    def line(reject: Reject) -> str:
        return ",".join(quoted(_cell(reject[name], formulas)) for name in names) + "\n"

    return lambda rejects: "".join(map(line, rejects)).encode()


def _cell(value: Any, formulas: Formulas) -> str:
    """A value as text: a text as it is, others as JSON."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    is_formula = formulas == "escape" and text.lstrip().startswith(FORMULA)
    return f"'{text}" if is_formula else text
