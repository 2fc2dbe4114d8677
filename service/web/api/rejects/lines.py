"""Rejects as lines of CSV or NDJSON, as lists show them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any

import msgspec

from loader.reporting.rejects_file import quoted
from service.core.database.statements import Row
from service.core.database.transactions import Database
from service.core.reads.lines import Form, Formulas
from service.core.rules.raw_json import text_of

FETCHED = 100
"""Rejects in one query: each has several kilobytes."""
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")
"""As in the statements of lists: a spreadsheet in Chinese or Japanese takes the wide ones too."""

Reject = dict[str, Any]


async def stream(
    database: Database,
    statement: str,
    parameters: Callable[[int, int], tuple[Any, ...]],
    header: bytes,
    lines: Callable[[list[Row]], bytes],
    after: int = 0,
) -> AsyncGenerator[bytes]:
    """A file of all rejects that match, from one snapshot.

    parameters: of the statement, for the rejects after an id, and their number.
    """
    async with database.snapshot() as transaction:
        yield header
        while rows := await transaction.fetch(statement, parameters(after, FETCHED)):
            yield lines(rows)
            after = rows[-1][0]


def lines_of(
    rejects: Iterable[Reject], names: Iterable[str], form: Form, formulas: Formulas
) -> bytes:
    """Rejects as lines; names: of the columns of CSV."""
    if form == "ndjson":
        return b"".join(msgspec.json.encode(reject) + b"\n" for reject in rejects)
    columns = list(names)
    rows = (",".join(quoted(_cell(one[name], formulas)) for name in columns) for one in rejects)
    return "".join(f"{row}\n" for row in rows).encode()


def _cell(value: Any, formulas: Formulas) -> str:
    """A value as text: a text as it is, others as JSON."""
    text = text_of(value)
    is_formula = formulas == "escape" and text.lstrip().startswith(FORMULA)
    return f"'{text}" if is_formula else text
