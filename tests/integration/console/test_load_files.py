"""Loads of several files: their tables, their order, their preview, and what a failure leaves."""

from __future__ import annotations

import gzip
import html
import re
from typing import Any

import httpx
import pytest

from loader.loading.pipeline import Load
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.writes import checkpoint
from service.web.console.jobs import token
from service.web.console.loads.uploads import MAX_FILES
from tests.support.console import confirm, events, failing_after, page, run, start, upload
from tests.support.hires import count

DEPARTMENTS = b"1,Sales\n2,Art\n"
JOBS = b"id,job\n1,Clerk\n2, \n"
HIRES = b"""id,name,datetime,department_id,job_id
1,Ana,2021-01-05T10:00:00Z,1,1
2,Ben,2021-05-05T10:00:00Z,2,2
3,Cem,2021-05-05T10:00:00Z,9,1
"""
POSTED = b'{"name": "Dan", "datetime": "2021-08-05T10:00:00Z", "department_id": 2, "job_id": 1}\n'


async def begun(
    client: httpx.AsyncClient, files: dict[str, tuple[bytes, str]], **options: Any
) -> str:
    """Upload files, (content, table) by name, and begin their check; the id of the job."""
    upload_id = await upload(client, *((name, content) for name, (content, _) in files.items()))
    tables = {number: table for number, (_, table) in enumerate(files.values())}
    return await start(
        client, "/console/loads", json={"upload": upload_id, "tables": tables, **options}
    )


async def result(client: httpx.AsyncClient, job: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The last event of a job, and its files by name."""
    last = (await events(client, job))[-1]
    return last, {row["file"]: row for row in last["rows"]}


ALL = {
    "employees.csv": (HIRES, "employees"),
    "posted.ndjson": (POSTED * 2, "employees"),
    "jobs.csv": (JOBS, "jobs"),
    "departments.csv.gz": (gzip.compress(DEPARTMENTS), "departments"),
}


@pytest.mark.parametrize(
    ("name", "content", "table", "why"),
    [
        ("jobs.csv", b"1,Clerk\n", "jobs", "its name"),
        ("hired_employees.csv", b"1,Ana,2021-01-05T10:00:00Z,1,1\n", "employees", "its name"),
        ("employees.rejects.csv", b"x", "employees", "its name"),
        ("april.csv", HIRES, "employees", "its header"),
        ("april.csv", b"line,errors,ID, job\n", "jobs", "its header"),
        (
            "april.csv.gz",
            gzip.compress(b"department\nSales\n", mtime=0),
            "departments",
            "its header",
        ),
        ("april.ndjson", POSTED, "employees", "its header"),
        ("jobs.csv", b"id,department\n1,Sales\n", "departments", "its header"),
        ("jobs.csv", b"id,job\n", "jobs", "its name and its header"),
        ("april.csv", b"1,Clerk\n", None, ""),
        ("april.csv", b"", None, ""),
        ("april.ndjson", b'{"job": ', None, ""),
        ("jobs.csv.gz", b"no gzip", "jobs", "its name"),
    ],
)
async def test_the_table_of_a_file_is_detected(
    client: httpx.AsyncClient, name: str, content: bytes, table: str | None, why: str
) -> None:
    url = f"/console/uploads/{token()}/0"
    reply = await client.post(url, params={"name": name}, content=content)
    because = f"because of {why}" if why else ""
    assert reply.json() == {"name": name, "table": table, "why": because}


async def test_parents_of_the_same_load_count_in_the_preview_and_are_loaded_first(
    client: httpx.AsyncClient, database: Database
) -> None:
    job = await begun(client, ALL)
    last, files = await result(client, job)
    assert last["state"] == "ready"
    assert list(files) == ["departments.csv.gz", "jobs.csv", "employees.csv", "posted.ndjson"]
    expected = [(2, 2, 0), (2, 1, 1), (3, 1, 2), (2, 2, 0)]
    counted = [(row["read"], row["added"], row["rejected"]) for row in files.values()]
    assert counted == expected
    for table in ("departments", "jobs", "hired_employees", "rejects"):
        assert await count(database, table) == 0

    await confirm(client, job)
    last, files = await result(client, job)
    assert last["state"] == "done"
    assert {row["state"] for row in files.values()} == {"done"}
    assert [(row["read"], row["added"], row["rejected"]) for row in files.values()] == expected
    assert await count(database, "hired_employees") == 3
    assert await count(database, "loads") == 0


async def test_the_result_links_to_the_rejects_of_each_file(
    client: httpx.AsyncClient, database: Database
) -> None:
    job = await begun(client, ALL | {"more.csv": (b"department\n \n", "departments")})
    await events(client, job)
    await confirm(client, job)
    text = await page(client, job)
    links = [html.unescape(link) for link in re.findall(r'href="(/console/rejects\?[^"]+)"', text)]
    assert len(links) == 3
    listed = [(await client.get(link, headers={"Accept": "text/html"})).text for link in links]
    for page_text, message in zip(
        listed, ("department is missing", "job is missing", "department_id 9 "), strict=True
    ):
        assert message in page_text
    for at, lines in ((2, ["line", "3"]), (3, ["line", "3", "4"])):
        file = await client.get(f"/console/jobs/{job}/rejects?file={at}")
        assert [line.partition(",")[0] for line in file.text.splitlines()] == lines
    assert (await client.get(f"/console/jobs/{job}/rejects?file=0")).status_code == 404
    assert (await client.get(f"/console/jobs/{job}/rejects?file=9")).status_code == 404


async def test_a_file_that_fails_ends_the_load_and_the_next_run_doubles_no_row(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await begun(client, ALL)
    await events(client, job)
    with monkeypatch.context() as patch:
        patch.setattr(Load, "_put", failing_after(2, Load._put))
        patch.setattr(checkpoint, "ATTEMPTS", 1)
        await confirm(client, job)
    last, files = await result(client, job)
    assert last["state"] == "failed"
    assert [row["state"] for row in files.values()] == ["done", "done", "failed", "waiting"]
    text = await page(client, job)
    assert "the files below it were not loaded" in text
    assert "not loaded</td>" in text
    assert await count(database, "hired_employees") == 0
    await confirm(client, job)
    _, files = await result(client, job)
    assert [row["added"] for row in files.values()] == [2, 1, 1, 2]
    assert await count(database, "hired_employees") == 3
    assert await count(database, "rejects") == 3


async def test_a_header_that_does_not_fit_ends_the_check_of_all_files(
    client: httpx.AsyncClient, migrated: Settings, database: Database
) -> None:
    job = await begun(client, ALL | {"odd.csv": (b"id,nonsense\n1,a\n", "jobs")})
    last, _ = await result(client, job)
    assert (last["state"], "file for jobs lacks 'job'" in last["message"]) == ("failed", True)
    assert str(migrated.rejects_dir) not in await page(client, job)


async def test_files_of_one_name_and_of_one_content_stay_apart(
    client: httpx.AsyncClient, database: Database
) -> None:
    same = ("jobs.csv", b"1,Clerk\n")
    upload_id = await upload(client, same, ("jobs.csv", b"2,Baker\n"), ("again.csv", same[1]))
    tables = dict.fromkeys(range(3), "jobs")
    job = await start(client, "/console/loads", json={"upload": upload_id, "tables": tables})
    await events(client, job)
    await confirm(client, job)
    last, _ = await result(client, job)
    assert [(row["added"], row["unchanged"]) for row in last["rows"]] == [(1, 0), (1, 0), (0, 1)]
    assert await count(database, "jobs") == 2


async def test_only_files_that_were_uploaded_can_be_loaded(
    client: httpx.AsyncClient, database: Database
) -> None:
    upload_id = await upload(client, ("jobs.csv", b"1,Clerk\n"))
    for body, status in (
        ({"upload": token(), "tables": {0: "jobs"}}, 404),
        ({"upload": "../..", "tables": {0: "jobs"}}, 404),
        ({"upload": upload_id, "tables": {1: "jobs"}}, 404),
        ({"upload": upload_id, "tables": {0: "nonsense"}}, 404),
        ({"upload": upload_id, "tables": {}}, 400),
        ({"upload": upload_id, "tables": {0: "jobs"}, "on_conflict": "x"}, 400),
    ):
        reply = await client.post("/console/loads", json=body)
        assert reply.status_code == status, reply.text
    number = f"/console/uploads/{upload_id}/{MAX_FILES}?name=jobs.csv"
    assert (await client.post(number, content=b"")).status_code == 400
    assert await count(database, "console_jobs") == 0


async def test_an_upload_becomes_one_job(client: httpx.AsyncClient, database: Database) -> None:
    upload_id = await upload(client, ("jobs.csv", b"1,Clerk\n"))
    wanted = {"upload": upload_id, "tables": {0: "jobs"}}
    job = await run(client, "/console/loads", json=wanted)
    assert (await client.post("/console/loads", json=wanted)).status_code == 404
    # What is uploaded later under the same id, or under that of the job, is not part of the job.
    for name in (upload_id, job):
        await client.post(f"/console/uploads/{name}/0?name=jobs.csv", content=b"2,Baker\n")
    await confirm(client, job)
    assert await database.fetch("SELECT id, job FROM jobs") == [(1, "Clerk")]
