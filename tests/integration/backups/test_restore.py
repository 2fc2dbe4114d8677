"""Restores write all rows or none, keep ids and leave no orphans."""

from __future__ import annotations

import asyncio
import io
import tracemalloc

import pytest
from httpx import AsyncClient as Client

from service.core.backups import restore as restoring
from service.core.backups.restore import restore
from service.core.database.transactions import Database
from tests.support.backup_files import DEPARTMENTS, EMPLOYEES, JOBS, avro_file, records, zip_file
from tests.support.restores import COUNTS, archive, contents, post


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


async def test_a_dry_run_reports_and_changes_nothing(client: Client, filled: Database) -> None:
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


async def test_a_form_is_read_as_well(client: Client, database: Database) -> None:
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


@pytest.mark.parametrize("second", [b"", b"more"])
async def test_a_form_with_two_files_is_refused(
    client: Client, database: Database, second: bytes
) -> None:
    first = avro_file(JOBS, records(JOBS, 4))
    reply = await client.post(
        "/avro/restore/jobs",
        files=[("file", ("one.avro", first)), ("file", ("two.avro", second))],
    )
    assert (reply.status_code, "it has 2" in reply.json()["detail"]) == (400, True)
    assert await database.fetch("SELECT COUNT(*) FROM jobs") == [(0,)]


async def test_other_fields_of_a_form_are_dropped(client: Client, database: Database) -> None:
    content = avro_file(JOBS, records(JOBS, 4))
    reply = await client.post(
        "/avro/restore/jobs",
        data={"before": "x" * 1_000_000},
        files={"file": ("jobs.avro", content), "after": ("a", b"y" * 100_000)},
    )
    assert (reply.status_code, reply.json()["added"]) == (200, 4)


async def test_memory_stays_flat_however_many_rows_are_removed(database: Database) -> None:
    count = 40_000
    async with database.transaction(60) as transaction:
        for start in range(1, count, 10_000):
            rows = [(key, "Gone") for key in range(start, start + 10_000)]
            await transaction.insert(DEPARTMENTS.sql["insert_with_id"], rows)
    file = io.BytesIO(avro_file(DEPARTMENTS, records(DEPARTMENTS, 3)))
    tracemalloc.start()
    try:
        (done,) = await restore(database, [(DEPARTMENTS, file)], "replace")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (done.removed, done.verified) == (count - 3, True)
    assert peak < 1_600_000


@pytest.mark.parametrize("at", [1, 3, 5])
async def test_pages_of_rows_to_remove_count_all_orphans_and_change_nothing(
    client: Client, filled: Database, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    monkeypatch.setattr(restoring, "CHUNK", 1)
    before = await contents(filled)
    kept = [row for row in records(JOBS, 5) if row["id"] == at]
    report = (await post(client, "restore/jobs?dry_run=true", avro_file(JOBS, kept))).json()
    assert (report["removed"], report["orphaned"]) == (4, 24)
    refused = await post(client, "restore/jobs", avro_file(JOBS, kept))
    assert (refused.status_code, refused.json()["orphans"]) == (409, 24)
    assert await contents(filled) == before
