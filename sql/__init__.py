"""The statements, as files a DBA can read, run and EXPLAIN.

A file holds statements under a `-- name: …` line each. Comments are stripped on loading:
the driver's bulk insert does not take them.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
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


def expand(statement: str, count: int) -> str:
    """A statement with `IN (%s)` made to take `count` values."""
    return statement.replace("IN (%s)", f"IN ({', '.join(['%s'] * count)})")


def _migration(file: str) -> tuple[int, str, tuple[str, ...]]:
    version, _, name = file.removesuffix(".sql").partition("_")
    parts = _COMMENT.sub("", _read(f"migrations/{file}")).split(";")
    return int(version), name, tuple(filter(None, map(_clean, parts)))


def _read(path: str) -> str:
    return (files(__package__) / path).read_text(encoding="utf-8")


def _clean(text: str) -> str:
    return _COMMENT.sub("", text).strip().removesuffix(";")
