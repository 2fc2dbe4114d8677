"""The statements, as files a DBA can read, run and EXPLAIN.

A file holds statements under a `-- name: …` line each. Comments are stripped on loading:
the driver's bulk insert does not take them.

What cannot be a parameter is put in here, and nowhere else: the length of an IN list, the name of
a table or a database, the number of queries in a union.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
_IN_LIST = re.compile(r"IN \((%s|\?)\)")
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)


@cache
def statements(file: str) -> dict[str, str]:
    """The statements of `sql/{file}.sql` by name, in their order."""
    _, *parts = _NAME.split(_read(f"{file}.sql"))
    return {name: _clean(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


@cache
def migrations() -> tuple[tuple[int, str, tuple[str, ...]], ...]:
    """(version, name, statements) of every migration, oldest first."""
    folder = files(__package__) / "migrations"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(_migration(name) for name in names)


def with_in_list(statement: str, count: int) -> str:
    """A statement with `IN (%s)`, in SQLite `IN (?)`, made to take `count` values."""
    return _IN_LIST.sub(lambda found: f"IN ({', '.join([found[1]] * count)})", statement)


def union_all(queries: Iterable[str]) -> str:
    """Queries of the same columns as one."""
    return " UNION ALL ".join(queries)


def with_name(statement: str, name: str) -> str:
    """A statement with `{name}` made to speak of that table or database; ValueError."""
    if not re.fullmatch(r"[A-Za-z0-9_$]{1,64}", name):
        raise ValueError(f"{name!r} is no plain name of a table or a database")
    return statement.replace("{name}", name)


def _migration(file: str) -> tuple[int, str, tuple[str, ...]]:
    version, _, name = file.removesuffix(".sql").partition("_")
    parts = _COMMENT.sub("", _read(f"migrations/{file}")).split(";")
    return int(version), name, tuple(filter(None, map(_clean, parts)))


def _read(path: str) -> str:
    return (files(__package__) / path).read_text(encoding="utf-8")


def _clean(text: str) -> str:
    return _COMMENT.sub("", text).strip().removesuffix(";")


CHUNK = 5000
"""Ids in one IN list."""


def chunks(ids: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Ids in lists short enough for a query."""
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
