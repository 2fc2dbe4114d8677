"""A dry run of a restore tells what the restore does, and writes nothing."""

from __future__ import annotations

import asyncio
import io
import tracemalloc
from dataclasses import dataclass
from random import Random
from typing import Any, get_args

import fastavro
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from service.core.backups.format import avro_schema
from service.core.backups.preview import preview
from service.core.backups.restore import restore
from service.core.backups.restored import Mode
from service.core.backups.sources import Source
from service.core.backups.staged import choice
from service.core.database.connect import connect
from service.core.database.transactions import Database
from service.core.errors import BackupError, DatabaseError, HirebaseError, OrphansError
from service.core.rules.avro_records import validate
from service.core.settings import Settings
from service.core.tables import TABLES, Field, Table, by_name
from tests.support import engine
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records
from tests.support.logins import new_login
from tests.support.restores import contents
from tests.support.tcp_proxy import Proxy

Records = list[dict[str, Any]]
Rows = dict[Table, Records]

NAMES = st.sampled_from(["Ana", "Zoë", "李"])
IDS = st.integers(1, 9) | st.integers(100, 102)


def in_columns(row: dict[str, Any]) -> dict[str, Any]:
    return {column: row[column] for column in EMPLOYEES.columns}


def named(table: Table) -> st.SearchStrategy[Records]:
    """Rows of a parent table, in the order of ids."""
    field = table.fields[0].name
    rows = st.dictionaries(IDS, NAMES, max_size=12)
    return rows.map(lambda found: [{"id": key, field: found[key]} for key in sorted(found)])


HIRE = st.fixed_dictionaries(
    {
        "name": NAMES,
        "datetime": st.sampled_from([0, 7, 1_609_459_200_000_000]),
        "department_id": IDS,
        "job_id": IDS,
    }
)
HIRES = st.dictionaries(IDS, HIRE, max_size=12).map(
    lambda found: [in_columns({"id": key, **found[key]}) for key in sorted(found)]
)


@st.composite
def stored(draw: st.DrawFn) -> Rows:
    """Rows of all tables; hires only with their parents."""
    departments, jobs = draw(named(DEPARTMENTS)), draw(named(JOBS))
    hires = [
        hire
        for hire in draw(HIRES)
        if hire["department_id"] in ids(departments) and hire["job_id"] in ids(jobs)
    ]
    return {DEPARTMENTS: departments, JOBS: jobs, EMPLOYEES: hires}


@st.composite
def changed(draw: st.DrawFn, before: Rows) -> Rows:
    """Rows of some tables: those before, some of them, or any others."""
    strategies = {DEPARTMENTS: named(DEPARTMENTS), JOBS: named(JOBS), EMPLOYEES: HIRES}
    after = {}
    for table in TABLES:
        kind = draw(st.sampled_from(["same", "same", "some", "others", "none"]))
        if kind == "same":
            after[table] = before[table]
        elif kind == "some":
            after[table] = [row for row in before[table] if draw(st.booleans())]
        elif kind == "others":
            after[table] = draw(strategies[table])
    return after


def ids(rows: Records) -> set[int]:
    return {row["id"] for row in rows}


def of_another_program(table: Table, rows: Records, seed: int) -> bytes:
    """A file without our header, its rows in any order."""
    rows, file = [*rows], io.BytesIO()
    Random(seed).shuffle(rows)
    schema: Any = avro_schema.schema(table)
    for field in schema["fields"]:
        if field["name"] == "datetime":
            field["type"] = {"type": "long", "logicalType": "local-timestamp-micros"}
    converted = [{**row, "datetime": _moment(row)} if "datetime" in row else row for row in rows]
    fastavro.writer(file, schema, converted, sync_interval=40)
    return file.getvalue()


def _moment(row: dict[str, Any]) -> Any:
    from datetime import datetime, timedelta

    return datetime(1970, 1, 1) + timedelta(microseconds=row["datetime"])  # noqa: DTZ001 - in UTC


async def fill(database: Database, rows: Rows) -> None:
    async with database.transaction() as transaction:
        for table in reversed(TABLES):
            await transaction.execute(f"DELETE FROM {table.name}")
        for table in TABLES:
            if rows[table]:
                valid = validate(table, rows[table]).rows
                await transaction.insert(table.sql["insert_with_id"], valid)


async def outcome(work: Any, database: Database, sources: list[Source], mode: Mode) -> Any:
    """The result, or the error."""
    try:
        return await work(database, sources, mode)
    except HirebaseError as error:
        return error


@dataclass
class Case:
    """Rows of the tables, and rows in files to restore over them."""

    before: Rows
    after: Rows
    mode: Mode
    ours: bool
    page: int
    twice: bool

    def sources(self) -> list[Source]:
        """The files."""
        return [(table, io.BytesIO(self._file(table))) for table in self.after]

    def _file(self, table: Table) -> bytes:
        rows = self.after[table]
        if self.ours:
            return avro_file(table, rows, page=self.page)
        return of_another_program(table, rows + rows[:1] * self.twice, self.page)

    def orphans(self) -> int:
        """Rows without a parent afterwards. Without a file, each of their parents counts."""
        count = 0
        for table in TABLES:
            rows = self.after.get(table, self.before[table])
            missing = [
                [row[field.name] not in self._ids_afterwards(field) for _, field in table.parents]
                for row in rows
            ]
            count += sum(any(row) if table in self.after else sum(row) for row in missing)
        return count

    def _ids_afterwards(self, field: Field) -> set[int]:
        parent = by_name(field.references or "")
        restored = ids(self.after.get(parent, self.before[parent]))
        return restored if self.mode == "replace" else restored | ids(self.before[parent])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    before, mode = draw(stored()), draw(st.sampled_from(get_args(Mode)))
    after, page = draw(changed(before)), draw(st.integers(1, 5))
    return Case(before, after, mode, draw(st.booleans()), page, draw(st.integers(0, 9)) == 0)


async def compared(database: Database, case: Case) -> Any:
    """The outcome of the restore, after a comparison with its dry run."""
    await fill(database, case.before)
    found = await contents(database)
    told = await outcome(preview, database, case.sources(), case.mode)
    assert await contents(database) == found
    done = await outcome(restore, database, case.sources(), case.mode)
    if isinstance(done, OrphansError):
        assert {one.orphaned for one in told} == {case.orphans()}
        assert not any(one.verified for one in told)
    elif isinstance(done, BackupError):
        assert str(told) == str(done)
    else:
        assert told == done
    return done


@pytest.mark.parametrize(("large", "examples"), [(choice.LARGE_ROWS, 60), (1, 15)])
def test_a_dry_run_reports_what_the_restore_does(
    migrated: Settings, monkeypatch: pytest.MonkeyPatch, large: int, examples: int
) -> None:
    """In one transaction, and with staging tables."""
    monkeypatch.setattr(choice, "LARGE_ROWS", large)
    outcomes = set()

    @hypothesis_settings(
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(case=cases())
    def holds(case: Case) -> None:
        outcomes.add(type(runner.run(compared(database, case))))

    with asyncio.Runner() as runner:
        connection = connect(migrated)
        database = runner.run(connection.__aenter__())
        try:
            holds()
        finally:
            runner.run(connection.__aexit__(None, None, None))
    assert len(outcomes) > 1


@pytest.mark.parametrize("mode", get_args(Mode))
async def test_it_needs_only_select(
    migrated: Settings, filled: Database, proxy: Proxy, mode: Mode
) -> None:
    rows = records(EMPLOYEES, 40)[5:]
    rows[0] |= {"name": "Changed"}
    sources: list[Source] = [(EMPLOYEES, io.BytesIO(avro_file(EMPLOYEES, rows, page=7)))]
    async with new_login(filled, engine.through(proxy, migrated)) as own:
        await filled.fetch(f"GRANT SELECT ON {own.mysql_database}.* TO {own.mysql_user}")
        async with connect(own) as database:
            (told,) = await preview(database, sources, mode)
            with pytest.raises(DatabaseError):
                await restore(database, sources, mode)
    (done,) = await restore(filled, sources, mode)
    assert (told, told.added, told.changed) == (done, 10, 1)
    assert told.removed == (5 if mode == "replace" else 0)


async def test_memory_stays_flat_for_files_of_ours(database: Database) -> None:
    count = 60_000
    file = io.BytesIO(avro_file(EMPLOYEES, records(EMPLOYEES, count), page=2000))
    parents = [
        (table, io.BytesIO(avro_file(table, records(table, 5)))) for table in (DEPARTMENTS, JOBS)
    ]
    sources: list[Source] = [*parents, (EMPLOYEES, file)]
    await preview(database, parents, "replace")
    tracemalloc.start()
    try:
        *_, told = await preview(database, sources, "replace")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (told.added, told.orphaned, told.verified) == (count, 0, True)
    assert peak < 12_000_000
