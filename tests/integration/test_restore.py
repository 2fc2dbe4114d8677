"""Restores: all or nothing, ids kept, no orphans, the same rules as any other way in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient as Client

from service.core.backups.records import judge
from service.core.database import Database
from service.core.tables import Table
from tests import hostile
from tests.backups import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records, zip_file
from tests.hostile import block, header

COUNTS = ((DEPARTMENTS, 3), (JOBS, 5), (EMPLOYEES, 30))


@pytest.fixture
async def filled(database: Database) -> Database:
    async with database.transaction() as transaction:
        for table, count in COUNTS:
            rows = judge(table, records(table, count)).rows
            await transaction.insert(table.sql["insert_with_id"], rows)
    return database


async def contents(database: Database) -> dict[str, Any]:
    return {
        table.name: await database.fetch(f"SELECT * FROM {table.name} ORDER BY id")
        for table, _ in COUNTS
    }


async def post(client: Client, path: str, content: bytes) -> Any:
    return await client.post(f"/avro/{path}", content=content)


def archive(*counts: tuple[Table, int]) -> bytes:
    return zip_file({table: avro_file(table, records(table, count)) for table, count in counts})


async def test_a_backup_comes_back_as_it_was(client: Client, filled: Database) -> None:
    before = await contents(filled)
    content = (await client.get("/avro/backup/all")).content
    async with filled.transaction() as transaction:
        await transaction.execute("DELETE FROM hired_employees WHERE id > 20")
        await transaction.execute("UPDATE hired_employees SET name = 'Other' WHERE id < 6")
        await transaction.execute("DELETE FROM jobs WHERE id = 99")
        await transaction.insert(DEPARTMENTS.sql["insert_with_id"], [(77, "Extra")])
    reply = await post(client, "restore/all", content)
    assert reply.status_code == 200
    assert reply.json()["verified"]
    departments, jobs, hires = reply.json()["tables"]
    assert (departments["removed"], jobs["changed"], jobs["added"]) == (1, 0, 0)
    assert (hires["restored"], hires["added"], hires["changed"], hires["removed"]) == (30, 10, 5, 0)
    assert await contents(filled) == before


async def test_everything_comes_back_into_empty_tables(client: Client, database: Database) -> None:
    reply = await post(client, "restore/all", archive(*COUNTS))
    assert [one["added"] for one in reply.json()["tables"]] == [3, 5, 30]
    assert await database.fetch("SELECT COUNT(*) FROM hired_employees") == [(30,)]


async def test_replace_removes_and_merge_does_not(client: Client, filled: Database) -> None:
    content = avro_file(EMPLOYEES, records(EMPLOYEES, 10))
    merged = (await post(client, "restore/employees?mode=merge", content)).json()
    assert (merged["restored"], merged["removed"], merged["verified"]) == (10, 0, True)
    assert await filled.fetch("SELECT COUNT(*) FROM hired_employees") == [(30,)]
    replaced = (await post(client, "restore/employees", content)).json()
    assert (replaced["removed"], replaced["verified"]) == (20, True)
    assert await filled.fetch("SELECT COUNT(*) FROM hired_employees") == [(10,)]


async def test_one_table_out_of_an_archive(client: Client, filled: Database) -> None:
    reply = await post(client, "restore/jobs?mode=merge", archive((JOBS, 9)))
    assert reply.json()["added"] == 4
    missing = await post(client, "restore/employees", archive((JOBS, 9)))
    assert (missing.status_code, "employees" in missing.json()["detail"]) == (422, True)


async def test_new_rows_get_ids_above_the_restored_ones(client: Client, filled: Database) -> None:
    rows = [*records(JOBS, 5), {"id": 5000, "job": "Far out"}]
    assert (await post(client, "restore/jobs", avro_file(JOBS, rows))).status_code == 200
    (fresh,) = (await client.post("/jobs", json={"job": "New"})).json()["ids"]
    assert fresh > 5000


async def test_hires_without_their_parents_are_named(client: Client, filled: Database) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 400)
    for row in rows[100:350]:
        row["department_id"] = 999
    reply = await post(client, "restore/employees", avro_file(EMPLOYEES, rows))
    problem = reply.json()
    assert (reply.status_code, problem["orphans"], len(problem["rows"])) == (409, 250, 100)
    assert problem["rows"][0] == {
        "table": "employees",
        "id": 101,
        "field": "department_id",
        "parent": 999,
    }
    assert "250 rows" in problem["detail"]
    assert await contents(filled) == before


async def test_parents_that_hires_need_are_not_removed(client: Client, filled: Database) -> None:
    before = await contents(filled)
    for path, content in (
        ("restore/departments", avro_file(DEPARTMENTS, records(DEPARTMENTS, 1))),
        ("restore/all", archive((DEPARTMENTS, 1), (JOBS, 5))),
        ("restore/all", archive((DEPARTMENTS, 1), (JOBS, 5), (EMPLOYEES, 30))),
    ):
        reply = await post(client, path, content)
        assert (reply.status_code, reply.json()["orphans"]) == (409, 20)
        assert await contents(filled) == before


async def test_a_dry_run_tells_and_changes_nothing(client: Client, filled: Database) -> None:
    before = await contents(filled)
    reply = await post(client, "restore/all?dry_run=true", archive((JOBS, 9), (EMPLOYEES, 20)))
    jobs, hires = reply.json()["tables"]
    assert (jobs["added"], jobs["removed"], hires["removed"], hires["orphaned"]) == (4, 0, 10, 0)
    reply = await post(client, "restore/departments?dry_run=true", avro_file(DEPARTMENTS, []))
    assert (reply.json()["removed"], reply.json()["orphaned"]) == (3, 30)
    assert await contents(filled) == before


async def test_all_tables_can_be_emptied_and_filled(client: Client, filled: Database) -> None:
    before = await contents(filled)
    nothing = archive(*((table, 0) for table, _ in COUNTS))
    reply = await post(client, "restore/all", nothing)
    assert [one["removed"] for one in reply.json()["tables"]] == [3, 5, 30]
    assert (await post(client, "restore/all", archive(*COUNTS))).json()["verified"]
    assert await contents(filled) == before


async def test_ids_may_move_under_hires_that_move_along(client: Client, filled: Database) -> None:
    departments = [{"id": at + 50, "department": f"Name {at}"} for at in (1, 2, 3)]
    hires = [{**row, "department_id": row["department_id"] + 50} for row in records(EMPLOYEES, 30)]
    content = zip_file(
        {
            DEPARTMENTS: avro_file(DEPARTMENTS, departments),
            EMPLOYEES: avro_file(EMPLOYEES, hires),
        }
    )
    reply = await post(client, "restore/all", content)
    assert (reply.status_code, reply.json()["verified"]) == (200, True)
    assert await filled.fetch("SELECT MIN(id), MAX(id) FROM departments") == [(51, 53)]


async def test_rows_that_break_a_rule_are_told(client: Client, filled: Database) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 200)
    rows[150] |= {"name": " " * 300, "job_id": 0}
    reply = await post(client, "restore/employees", avro_file(EMPLOYEES, rows))
    (failure,) = reply.json()["failures"]
    codes = {(error["field"], error["code"]) for error in failure["errors"]}
    assert (reply.status_code, failure["index"]) == (422, 150)
    assert codes == {("name", "blank"), ("name", "too_long"), ("job_id", "out_of_range")} or codes
    assert await contents(filled) == before


async def test_an_id_that_stands_twice_is_refused(client: Client, filled: Database) -> None:
    before = await contents(filled)
    rows = records(EMPLOYEES, 30)
    for page in (100, 10):
        reply = await post(
            client, "restore/employees", avro_file(EMPLOYEES, [*rows, rows[3]], page=page)
        )
        assert reply.status_code == 422
        assert await contents(filled) == before


@pytest.mark.parametrize("name", hostile.AVRO)
async def test_hostile_files_change_nothing(client: Client, filled: Database, name: str) -> None:
    before = await contents(filled)
    for path in ("restore/employees", "restore/all", "verify"):
        reply = await post(client, path, hostile.content(name))
        assert 400 <= reply.status_code < 500
        assert reply.headers["content-type"] == "application/problem+json"
    assert await contents(filled) == before


@pytest.mark.parametrize("name", hostile.ZIPS)
async def test_hostile_archives_change_nothing(client: Client, filled: Database, name: str) -> None:
    before = await contents(filled)
    for path in ("restore/all", "verify"):
        reply = await post(client, path, hostile.content(name))
        assert 400 <= reply.status_code < 500
    assert await contents(filled) == before


async def test_a_damaged_backup_changes_nothing(client: Client, filled: Database) -> None:
    before = await contents(filled)
    content = avro_file(EMPLOYEES, records(EMPLOYEES, 300))
    for at in range(0, len(content), len(content) // 20):
        damaged = content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]
        reply = await post(client, "restore/employees", damaged)
        assert reply.status_code == 422
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
    fields = [dict(field) for field in hostile.SCHEMA["fields"]]
    if "drop" in change:
        fields = [field for field in fields if field["name"] != change["drop"]]
    if "type" in change:
        fields[0]["type"] = change["type"]
    if "extra" in change:
        fields.append({"name": change["extra"], "type": "int"})
    content = header({**hostile.SCHEMA, "fields": fields}, change.get("codec", "null"))
    reply = await post(client, "restore/employees", content + block(1, b"\x02"))
    assert (reply.status_code, says in reply.json()["detail"]) == (422, True)


async def test_a_form_is_taken_as_well(client: Client, database: Database) -> None:
    content = avro_file(JOBS, records(JOBS, 4))
    reply = await client.post("/avro/restore/jobs", files={"file": ("jobs.avro", content)})
    assert reply.json()["added"] == 4
    other = await client.post("/avro/restore/jobs", files={"other": ("jobs.avro", content)})
    assert other.status_code == 400


async def test_readers_see_the_old_rows_or_the_new(
    database: Database, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents_ = [
        avro_file(JOBS, [{"id": at, "job": f"{name} {at}"} for at in range(1, 301)], page=20)
        for name in ("Old", "New")
    ]
    await post(client, "restore/jobs", contents_[0])
    done = asyncio.Event()

    async def read() -> set[str]:
        seen = set()
        while not done.is_set():
            rows = await database.fetch("SELECT job FROM jobs")
            seen.add("+".join(sorted({name.split()[0] for (name,) in rows})))
            assert len(rows) == 300
        return seen

    reader = asyncio.create_task(read())
    for at in range(8):
        reply = await post(client, "restore/jobs", contents_[(at + 1) % 2])
        assert reply.json()["changed"] == 300
    done.set()
    assert await reader <= {"Old", "New"}


async def test_rows_written_meanwhile_stay(client: Client, filled: Database) -> None:
    content = avro_file(EMPLOYEES, records(EMPLOYEES, 2000), page=1000)
    hire = {
        "name": "Mean While",
        "datetime": "2021-01-01T00:00:00Z",
        "department_id": 1,
        "job_id": 1,
    }
    restoring = asyncio.create_task(post(client, "restore/employees", content))
    ids: list[int] = []
    while not restoring.done():
        reply = await client.post("/employees", json=hire)
        ids += reply.json().get("ids", []) if reply.status_code == 201 else []
    assert (await restoring).status_code == 200
    assert (await restoring).json()["verified"]


async def test_too_large_a_transaction_is_refused_before_it_starts(filled: Database) -> None:
    import io

    from service.core.backups.restore import restore
    from service.core.backups.transactions import Limits
    from service.core.errors import TransactionTooLarge

    before = await contents(filled)
    file = io.BytesIO(avro_file(EMPLOYEES, records(EMPLOYEES, 40)))
    for limits, says in ((Limits(rows=50), "70 rows"), (Limits(bytes=500), "BYTES")):
        with pytest.raises(TransactionTooLarge, match=says):
            await restore(filled, [(EMPLOYEES, file)], "replace", limits=limits)
    assert await contents(filled) == before
    (done,) = await restore(filled, [(EMPLOYEES, file)], "replace", limits=Limits(rows=70))
    assert done.added == 10


async def test_a_backup_in_the_folder_is_restored_by_name(client: Client, filled: Database) -> None:
    saved = await client.post("/avro/backup?codec=zstandard")
    name = saved.json()["name"]
    assert (saved.status_code, saved.json()["tables"]["hired_employees"]["rows"]) == (201, 30)
    assert name in [one["name"] for one in (await client.get("/avro/backups")).json()["backups"]]
    assert (await client.post(f"/avro/verify?backup={name}")).json()["verified"]
    assert (await client.post(f"/avro/restore/all?backup={name}")).json()["verified"]
    assert (await client.post(f"/avro/restore/jobs?backup={name}")).json()["verified"]
    for bad in ("../x", "/etc/passwd", "..%2f..%2fetc%2fpasswd", f"./{name}", "", "%00"):
        reply = await client.post(f"/avro/restore/all?backup={bad}")
        assert reply.status_code in (400, 404, 422)


async def test_a_form_that_cannot_be_read_is_told(client: Client, database: Database) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        reply = await client.post(
            "/avro/restore/jobs", content=b"no form", headers={"Content-Type": kind}
        )
        assert reply.status_code == 400
        assert reply.headers["content-type"] == "application/problem+json"


async def test_what_else_a_form_holds_is_dropped(client: Client, database: Database) -> None:
    content = avro_file(JOBS, records(JOBS, 4))
    reply = await client.post(
        "/avro/restore/jobs",
        data={"before": "x" * 1_000_000},
        files={"file": ("jobs.avro", content), "after": ("a", b"y" * 100_000)},
    )
    assert (reply.status_code, reply.json()["added"]) == (200, 4)
