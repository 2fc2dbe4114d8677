"""The .sql files: names, comments, the driver's bulk insert, the same statements for each table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiomysql.cursors import RE_INSERT_VALUES

import sql
from service.core.database.pending import COPIES, kind_of
from service.core.tables import TABLES, Table, children
from tests.support.releases import RELEASES

FOLDER = Path(sql.__file__).parent
FILES = sorted(file.stem for file in FOLDER.glob("*.sql"))
MIGRATIONS = sorted((FOLDER / "migrations").iterdir())
STATEMENTS = [
    pytest.param(text, id=f"{file}.{name}")
    for file in FILES
    for name, text in sql.statements(file).items()
]
MIGRATION_STATEMENTS = [
    pytest.param(text, id=f"{version:04}.{at}")
    for version, _, statements in sql.migrations()
    for at, text in enumerate(statements)
]
INSERTS = {
    f"{file}.{name}": text
    for file in FILES
    for name, text in sql.statements(file).items()
    if text.startswith(("INSERT", "REPLACE")) and "%s" in text
}
ONE_ROW_AT_A_TIME = {"console_jobs.insert", "idempotency_keys.insert"}
BULK_INSERTS = sorted(set(INSERTS) - ONE_ROW_AT_A_TIME)
REPEATABLE = re.compile(
    r"CREATE TABLE IF NOT EXISTS |CREATE OR REPLACE VIEW |DROP (TABLE|VIEW) IF EXISTS "
    r"|CREATE INDEX |INSERT .* ON DUPLICATE KEY UPDATE |UPDATE |DELETE |SET |SELECT "
    r"|PREPARE |EXECUTE |DEALLOCATE ",
    re.DOTALL,
)
FORBIDDEN = re.compile(
    r"RETURNING|->>|\bAS new\b|FOR SHARE|GET_LOCK|LOCK TABLES|FLUSH TABLES|LOAD DATA|INSERT IGNORE",
    re.IGNORECASE,
)


@pytest.mark.parametrize("file", FILES)
def test_every_name_in_a_file_is_a_statement(file: str) -> None:
    text = (FOLDER / f"{file}.sql").read_text(encoding="utf-8")
    named = re.findall(r"^-- name: (\w+)", text, re.MULTILINE)
    assert named
    assert list(sql.statements(file)) == named


@pytest.mark.parametrize("statement", [*STATEMENTS, *MIGRATION_STATEMENTS])
def test_a_statement_is_single_and_has_no_comment(statement: str) -> None:
    assert statement
    assert ";" not in statement
    assert "--" not in statement


@pytest.mark.parametrize("statement", [*STATEMENTS, *MIGRATION_STATEMENTS])
def test_a_statement_is_understood_by_every_engine(statement: str) -> None:
    assert not FORBIDDEN.search(statement)


@pytest.mark.parametrize("name", BULK_INSERTS)
def test_a_bulk_insert_takes_the_fast_path_of_the_driver(name: str) -> None:
    assert RE_INSERT_VALUES.match(INSERTS[name])


@pytest.mark.parametrize("name", BULK_INSERTS)
def test_an_insert_without_key_checks_takes_it_too(name: str) -> None:
    statement = sql.without_key_checks(INSERTS[name])
    assert statement.startswith("INSERT /*+ SET_VAR(foreign_key_checks = OFF) */ INTO ")
    assert RE_INSERT_VALUES.match(statement)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
def test_the_query_that_locks_parents_reads_the_rows_themselves(table: Table) -> None:
    locking = sql.locking(table.sql["count_existing"])
    assert f"FROM {table.name} FORCE INDEX (PRIMARY) WHERE id IN (%s) LOCK IN SHARE MODE" in locking


def test_only_inserts_of_a_single_row_are_exempt() -> None:
    assert {f"{table.name}.insert" for table in TABLES} <= set(BULK_INSERTS)
    assert set(INSERTS) >= ONE_ROW_AT_A_TIME


def test_an_in_list_has_a_placeholder_for_each_value() -> None:
    assert sql.with_in_list("SELECT a FROM t WHERE id IN (%s)", 3).endswith("IN (%s, %s, %s)")


def test_an_in_list_of_sqlite_has_them_too() -> None:
    assert sql.with_in_list("SELECT a FROM t WHERE id IN (?)", 3).endswith("IN (?, ?, ?)")


@pytest.mark.parametrize("name", ["", "a`b", "a b", "a;", "a.b", "x" * 65, "é"])
def test_only_a_plain_name_is_put_into_a_statement(name: str) -> None:
    assert sql.with_name("SELECT 1 FROM {name}", "my_table$1") == "SELECT 1 FROM my_table$1"
    with pytest.raises(ValueError, match="cannot name a table"):
        sql.with_name("SELECT 1 FROM {name}", name)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
def test_every_table_has_the_statements_of_the_others(table: Table) -> None:
    of_a_parent = ("count_by", "orphans_by")
    own = {f"{name}_{field.name}" for name in of_a_parent for _, field in table.parents}
    assert set(table.sql) - own == set(TABLES[0].sql)
    assert own <= set(table.sql)


def test_parents_come_before_children() -> None:
    for at, table in enumerate(TABLES):
        assert all(child in TABLES[at + 1 :] for child, _ in children(table))


def test_migrations_are_named_and_numbered_without_gaps() -> None:
    names = [file.name for file in MIGRATIONS if file.name != "__pycache__"]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert [f"{number:04}_{name}.sql" for number, name, _ in sql.migrations()] == names


@pytest.mark.parametrize("statement", MIGRATION_STATEMENTS)
def test_every_statement_of_a_migration_is_repeatable(statement: str) -> None:
    assert REPEATABLE.match(statement)


@pytest.mark.parametrize("statement", MIGRATION_STATEMENTS)
def test_every_table_has_a_primary_key_and_utf8mb4(statement: str) -> None:
    if statement.startswith("CREATE TABLE"):
        assert "PRIMARY KEY (" in statement
        assert "CHARSET = utf8mb4" in statement


def test_new_migrations_only_expand() -> None:
    """The last released version still uses the tables while they change."""
    released = sql.migrations(RELEASES[-1].folder / "sql")
    for _, _, statements in sql.migrations()[len(released) :]:
        assert all(kind_of(statement)[0] is not COPIES for statement in statements)


def test_a_statement_of_an_unknown_kind_is_found() -> None:
    with pytest.raises(ValueError, match="unknown kind: OPTIMIZE"):
        kind_of("OPTIMIZE TABLE jobs")


def test_released_migrations_stay_as_they_are() -> None:
    for release in RELEASES:
        released = sql.migrations(release.folder / "sql")
        assert sql.migrations()[: len(released)] == released
