"""Refused files: the reply gives the reason, and nothing is changed."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from typing import Any

import fastavro
import msgspec
import pytest
from httpx import AsyncClient as Client

from service.core.backups.format import container
from service.core.backups.format.avro import Reader
from service.core.backups.restore import restore
from service.core.backups.restore_size import refuse_too_large
from service.core.backups.restored import Mode, Restored
from service.core.database.connect import connect
from service.core.database.replication.limits import TransactionLimits
from service.core.database.transactions import Database
from service.core.errors import BackupError, TransactionTooLarge
from service.core.settings import Settings
from tests.support import hostile_files
from tests.support.backup_files import EMPLOYEES, JOBS, avro_file, records
from tests.support.hostile_files import block, header
from tests.support.restores import contents, post


async def test_rows_that_break_a_rule_are_listed(client: Client, filled: Database) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 200)
    rows[150] |= {"name": " " * 300, "job_id": 0}
    reply = await post(client, "restore/employees", avro_file(EMPLOYEES, rows))
    (failure,) = reply.json()["failures"]
    codes = {(error["field"], error["code"]) for error in failure["errors"]}
    assert (reply.status_code, failure["index"]) == (422, 150)
    assert codes == {("name", "blank"), ("name", "too_long"), ("job_id", "out_of_range")} or codes
    assert await contents(filled) == before


@pytest.mark.parametrize("path", ["restore/employees", "verify"])
async def test_long_values_make_no_long_reply(client: Client, filled: Database, path: str) -> None:
    rows = [row | {"name": "x" * 1000} for row in records(EMPLOYEES, 10)]
    file = io.BytesIO()
    # Of another program: what this service wrote is verified by its checksum alone.
    schema = fastavro.reader(io.BytesIO(avro_file(EMPLOYEES, []))).writer_schema
    assert schema
    fastavro.writer(file, schema, rows)
    reply = await post(client, path, file.getvalue())
    assert reply.status_code == 422
    assert reply.json()["failed"] == len(reply.json()["failures"]) == 10
    assert len(reply.content) < 10 * 700


async def test_a_duplicate_id_is_refused(client: Client, filled: Database) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 30)
    for page in (100, 10):
        reply = await post(
            client, "restore/employees", avro_file(EMPLOYEES, [*rows, rows[3]], page=page)
        )
        assert reply.status_code == 422
        assert await contents(filled) == before


@pytest.mark.parametrize("name", hostile_files.AVRO)
async def test_hostile_files_change_nothing(client: Client, filled: Database, name: str) -> None:
    before = await contents(filled)
    for path in ("restore/employees", "restore/all", "verify"):
        reply = await post(client, path, hostile_files.content(name))
        assert 400 <= reply.status_code < 500
        assert reply.headers["content-type"] == "application/problem+json"
    assert await contents(filled) == before


@pytest.mark.parametrize("name", hostile_files.ZIPS)
async def test_hostile_archives_change_nothing(client: Client, filled: Database, name: str) -> None:
    before = await contents(filled)
    for path in ("restore/all", "verify"):
        reply = await post(client, path, hostile_files.content(name))
        assert 400 <= reply.status_code < 500
    assert await contents(filled) == before


async def test_a_damaged_backup_changes_nothing(client: Client, filled: Database) -> None:
    before = await contents(filled)
    content = avro_file(EMPLOYEES, records(EMPLOYEES, 300))
    for at in range(0, len(content), len(content) // 50):
        damaged = content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]
        reply = await post(client, "restore/employees", damaged)
        assert (reply.status_code, "damaged" in reply.json()["detail"]) == (422, at > 0)
    assert await contents(filled) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"codec": "lzma9"}, "lzma9"),
        ({"drop": "job_id"}, "job_id is missing"),
        ({"type": "double"}, "double"),
        ({"extra": "salary"}, "salary"),
    ],
)
async def test_a_file_that_does_not_fit_says_why(
    client: Client, database: Database, change: dict[str, str], says: str
) -> None:
    fields = [dict(field) for field in hostile_files.SCHEMA["fields"]]
    if "drop" in change:
        fields = [field for field in fields if field["name"] != change["drop"]]
    if "type" in change:
        fields[0]["type"] = change["type"]
    if "extra" in change:
        fields.append({"name": change["extra"], "type": "int"})
    content = header({**hostile_files.SCHEMA, "fields": fields}, change.get("codec", "null"))
    reply = await post(client, "restore/employees", content + block(1, b"\x02"))
    assert (reply.status_code, says in reply.json()["detail"]) == (422, True)


async def test_a_row_that_only_the_server_refuses_is_named(
    client: Client, database: Database
) -> None:
    await database.fetch("ALTER TABLE jobs ADD CONSTRAINT of_a_dba CHECK (job <> 'Name 150')")
    try:
        content = avro_file(JOBS, records(JOBS, 300), page=20)
        new = await post(client, "restore/jobs", content)
        await post(client, "restore/jobs", avro_file(JOBS, [{"id": 150, "job": "Old"}]))
        changed = await post(client, "restore/jobs", content)
    finally:
        await database.fetch("ALTER TABLE jobs DROP CONSTRAINT of_a_dba")
    for reply in (new, changed):
        (failure,) = reply.json()["failures"]
        assert (reply.status_code, failure["index"], failure["record"]["id"]) == (422, 149, 150)
    assert await database.fetch("SELECT id, job FROM jobs") == [(150, "Old")]


async def test_the_limit_on_inflated_rows_holds_for_a_transaction_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "FREE_BYTES", 1000)
    monkeypatch.setattr(container, "MAX_RATIO", 1)
    file = io.BytesIO(avro_file(EMPLOYEES, records(EMPLOYEES, 200)))
    limits = TransactionLimits.configured(None, 1 << 40)
    reader = Reader(EMPLOYEES, file)
    reader.scan()
    with pytest.raises(BackupError, match="inflates to more than"):
        await refuse_too_large(database, [reader], "merge", limits)


async def restored(
    migrated: Settings, rows: list[dict[str, Any]], mode: Mode = "replace", **limits: Any
) -> Restored:
    """The restore of employees under limits in the settings."""
    settings = msgspec.structs.replace(
        migrated, **{f"mysql_{name}": value for name, value in limits.items()}
    )
    async with connect(settings) as database:
        file = io.BytesIO(avro_file(EMPLOYEES, rows))
        (done,) = await restore(database, [(EMPLOYEES, file)], mode)
        return done


@pytest.fixture
async def referred(database: Database) -> AsyncIterator[None]:
    """A table of somebody else refers to the employees, so a restore needs one transaction."""
    await database.fetch(
        "CREATE TABLE of_a_dba (id INT PRIMARY KEY, hire INT, "
        "CONSTRAINT of_a_dba FOREIGN KEY (hire) REFERENCES hired_employees (id))"
    )
    yield
    await database.fetch("DROP TABLE of_a_dba")


@pytest.mark.parametrize("mode", ["replace", "merge"])
@pytest.mark.usefixtures("referred")
async def test_a_restore_is_limited_by_the_rows_that_it_changes(
    filled: Database, migrated: Settings, mode: Mode
) -> None:
    """30 rows are stored. Equal ones do not count, and the lock of the restore is one row."""
    before = await contents(filled)
    rows = records(EMPLOYEES, 40)
    rows[0] |= {"name": "Changed"}
    removed = mode == "replace"
    rows = rows[:10] + rows[20:] if removed else rows
    count = 1 + 10 + 1 + (10 if removed else 0)
    with pytest.raises(TransactionTooLarge, match=rf"at least {count} rows .*_ROWS allows"):
        await restored(migrated, rows, mode, max_transaction_rows=count - 1)
    assert await contents(filled) == before
    done = await restored(migrated, rows, mode, max_transaction_rows=count)
    assert (done.added, done.changed, done.removed) == (10, 1, 10 if removed else 0)


@pytest.mark.parametrize("mode", ["replace", "merge"])
@pytest.mark.usefixtures("referred")
async def test_a_restore_is_limited_by_the_bytes_that_it_writes(
    filled: Database, migrated: Settings, mode: Mode
) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 60)
    with pytest.raises(TransactionTooLarge, match=r"bytes .*MYSQL_MAX_TRANSACTION_BYTES allows"):
        await restored(migrated, rows, mode, max_transaction_bytes=7000)
    assert await contents(filled) == before
    assert (await restored(migrated, rows, mode, max_transaction_bytes=8500)).added == 30
    assert (await restored(migrated, rows, mode, max_transaction_bytes=6000)).added == 0


@pytest.mark.usefixtures("referred")
async def test_a_restore_that_is_too_large_in_any_case_is_refused_before_it_starts(
    database: Database, migrated: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Database, "run", None)
    limits: tuple[dict[str, Any], ...] = (
        {"max_transaction_rows": 200},
        {"max_transaction_bytes": 6000},
    )
    for limit in limits:
        with pytest.raises(TransactionTooLarge, match="Nothing was changed"):
            await restored(migrated, records(EMPLOYEES, 200), **limit)


@pytest.mark.parametrize(
    "limit", [{"max_transaction_rows": 900}, {"max_transaction_bytes": 90_000}]
)
async def test_a_merge_that_changes_too_much_is_refused_before_it_writes(
    filled: Database, migrated: Settings, monkeypatch: pytest.MonkeyPatch, limit: dict[str, Any]
) -> None:
    """It says how many rows it could take. The number of rows in the file does not tell."""
    await restored(migrated, records(EMPLOYEES, 2000), "merge")
    before = await contents(filled)
    rows = [row | {"name": f"Changed {row['id']}"} for row in records(EMPLOYEES, 2000)]
    with monkeypatch.context() as patch:
        patch.setattr(Database, "run", None)
        with pytest.raises(TransactionTooLarge) as caught:
            await restored(migrated, rows, "merge", **limit)
    assert await contents(filled) == before
    found = re.search(r"at most (\d+) rows like these", str(caught.value))
    assert found
    most = int(found[1])
    assert 300 < most < 1000
    assert (await restored(migrated, rows[:most], "merge", **limit)).changed == most


async def test_a_form_that_cannot_be_read_is_refused(client: Client, database: Database) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        reply = await client.post(
            "/avro/restore/jobs", content=b"no form", headers={"Content-Type": kind}
        )
        assert reply.status_code == 400
        assert reply.headers["content-type"] == "application/problem+json"
