"""The SQL statements, in files that a DBA can read, run and EXPLAIN. schema.sql has all tables.

Each statement has a `-- name: …` line. Comments are removed on loading, because the driver's bulk
insert does not accept them.

Only this module changes the text of a statement, where SQL allows no parameter: the length of an
IN list, the names of tables, columns and indexes, the name of a database, the definition of a key,
the number of queries in a union, the conditions of a list, the step of ids that an insert expects,
locks on rows that are read, and an insert without the check of foreign keys. Staged restores also
make statements of their own: ALTER TABLE and RENAME TABLE.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_IN_LIST = re.compile(r"IN \((%s|\?)\)")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


OURS = files(__package__)


@cache
def statements(file: str, folder: Traversable = OURS) -> dict[str, str]:
    """The statements of `{folder}/{file}.sql` by name, in the order of the file."""
    _, *sections = _NAME.split(_read(folder / f"{file}.sql"))
    return {name: _clean(text) for name, text in zip(sections[::2], sections[1::2], strict=True)}


@cache
def migrations(folder: Traversable = OURS) -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """(version, name, statements) of every migration, oldest first."""
    entries = [entry for entry in (folder / "migrations").iterdir() if entry.name.endswith(".sql")]
    return tuple(_migration(entry) for entry in sorted(entries, key=lambda entry: entry.name))


def with_in_list(statement: str, count: int) -> str:
    """A statement with `IN (%s)` (SQLite: `IN (?)`) for `count` values."""
    return _IN_LIST.sub(lambda found: f"IN ({', '.join([found[1]] * count)})", statement)


def with_rows(insert: str, count: int) -> str:
    """An INSERT with as many rows of values."""
    start, values, row = insert.partition("VALUES ")
    return start + values + ", ".join([row] * count)


def union_all(queries: Iterable[str]) -> str:
    """Queries with the same columns as one query."""
    return " UNION ALL ".join(queries)


def locking(query: str) -> str:
    """A query that locks the rows it finds against changes until the transaction ends."""
    return f"({query} LOCK IN SHARE MODE)"


def without_key_checks(insert: str) -> str:
    """An insert without the check of foreign keys, on a server that accepts this hint.

    The hint holds for one statement, so there is no setting to restore.
    """
    return insert.replace("INSERT", "INSERT /*+ SET_VAR(foreign_key_checks = OFF) */", 1)


def with_name(statement: str, name: str) -> str:
    """A statement with the name of a table or a database for `{name}`; ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9_$]{1,64}", name):
        raise ValueError(
            f"{name!r} cannot name a table or a database: use 1 to 64 of A-Z, a-z, 0-9, _ and $"
        )
    return statement.replace("{name}", name)


def on_table(statement: str, name: str, other: str) -> str:
    """A statement that reads or writes the table `other` in place of the table `name`."""
    return re.sub(rf"\b(FROM|INTO) {name}\b", rf"\1 {other}", statement)


def any_differs(columns: Iterable[str]) -> str:
    """Whether the rows `staged` and `live` differ in a column: NULLs are equal, spaces count."""
    pairs = (
        f"CAST(staged.`{column}` AS BINARY) <=> CAST(live.`{column}` AS BINARY)"
        for column in columns
    )
    return f"NOT ({' AND '.join(pairs)})"


def with_names(statement: str, **names: str | Sequence[str]) -> str:
    """A statement with names of tables, columns or indexes, or lists of them, for `{key}`s."""
    for key, value in names.items():
        several = [value] if isinstance(value, str) else value
        listed = ", ".join(with_name("`{name}`", name) for name in several)
        statement = statement.replace(f"{{{key}}}", listed)
    return statement


def with_parts(statement: str, **parts: str) -> str:
    """A statement with parts of SQL for `{key}`s: made here, or as the server itself shows them."""
    for key, part in parts.items():
        statement = statement.replace(f"{{{key}}}", part)
    return statement


def all_of(conditions: Iterable[str]) -> str:
    """A condition that is true if all of these are."""
    return " AND ".join(conditions)


def any_of(conditions: Iterable[str]) -> str:
    """A condition that is true if one of these is."""
    return f"({' OR '.join(conditions)})"


def if_id_step(values: str, step: int) -> str:
    """The values of a row, `(%s, …)`, that the server refuses if the session has another step.

    The sum overflows, which is an error (1690) on every engine and in every sql_mode.
    """
    check = f"IF(@@auto_increment_increment = {step}, %s, 9223372036854775807 + 1)"
    return values.replace("%s", check, 1)


def _migration(file: Traversable) -> tuple[int, str, tuple[str, ...]]:
    version, _, name = file.name.removesuffix(".sql").partition("_")
    texts = _COMMENT.sub("", _read(file)).split(";")
    return int(version), name, tuple(filter(None, map(_clean, texts)))


def _read(file: Traversable) -> str:
    return file.read_text(encoding="utf-8")


def _clean(text: str) -> str:
    return _COMMENT.sub("", text).strip().removesuffix(";")


CHUNK = 5000
"""The most ids in one IN list."""


def chunks(ids: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Ids in lists that are short enough for a query."""
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
