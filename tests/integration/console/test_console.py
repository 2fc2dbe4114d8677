"""The console without a browser: loads, backups, roles, and the state of jobs."""

from __future__ import annotations

import csv
import gzip
import html
import io
import re
from pathlib import Path

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from loader.reporting.summary import SHOWN
from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import calling
from tests.support.console import HTML, UPLOAD, events, load, page, preview, run
from tests.support.hires import add_parents, count


async def test_a_preview_writes_nothing_and_a_load_writes_once(
    client: httpx.AsyncClient, database: Database
) -> None:
    body = b"".join(b'{"job": "Clerk %d"}\n' % n for n in range(2500)) + b'{"job": ""}\n'
    job = await preview(client, "jobs.ndjson", body)
    assert await count(database, "jobs") == await count(database, "rejects") == 0
    (row,) = (await events(client, job))[-1]["rows"]
    assert row["added"] == 2500
    await run(client, f"/console/jobs/{job}/confirm", json={})
    assert await count(database, "jobs") == 2500
    again = await client.post(f"/console/jobs/{job}/confirm", json={})
    assert again.status_code == 409
    rejects = await client.get(f"/console/jobs/{job}/rejects")
    assert rejects.text.splitlines()[1].startswith("2501,job must not be blank,")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("jobs.csv", b"1,Clerk\n2, \n3,Baker\n"),
        ("jobs.csv", b"id,job\n1,Clerk\n2,\n3,Baker\n"),
        ("jobs.csv", b"job\nClerk\n \nBaker\n"),
        ("jobs.ndjson", b'{"job": "Clerk"}\n{"job": " "}\n{"job": "Baker"}\n'),
    ],
)
async def test_a_preview_shows_the_verdict_of_every_row(
    client: httpx.AsyncClient, database: Database, name: str, body: bytes
) -> None:
    job = await preview(client, name, body)
    text = await page(client, job)
    table = text.partition('aria-label="Row by row"')[2].partition("</table>")[0]
    rows = re.findall(
        r'<tr><td class="number">\d+</td><td>(.*?)</td><td>(.*?)</td>', table, re.DOTALL
    )
    assert [why == "good" for _, why in rows] == [True, False, True]
    assert "Clerk" in rows[0][0]
    assert "missing" in rows[1][1] or "blank" in rows[1][1]


@pytest.mark.parametrize(
    "row",
    [
        '{"job": 1e999}',
        '{"job": "\\ud800", "\\ud800": 1}',
        '{"job": ' + "9" * 5000 + "}",
        '{"job": ' + "[" * 5000,
        "{" + ", ".join(f'"{number}{"x" * 400}": 1' for number in range(50)) + "}",
        '{"job": "' + "\\u0001" * 5000 + '"}',
    ],
)
async def test_a_page_shows_any_row_in_a_limited_size(
    client: httpx.AsyncClient, database: Database, row: str
) -> None:
    body = f'{row}\n{{"job": "Clerk"}}\n' * 250
    job = await load(client, "jobs.ndjson", body.encode(), "jobs")
    text = await page(client, job)
    assert "Done." in text
    assert html.escape(row[:8], quote=False) in text.replace("&#34;", '"')
    ((size,),) = await database.fetch("SELECT LENGTH(result) FROM console_jobs")
    assert size < 1 << 20
    assert await count(database, "jobs") == await count(database, "rejects") == 250


@pytest.mark.parametrize(
    ("name", "body", "lines"),
    [
        ("jobs.csv", b'\njob\nClerk\n"Two\nlines"\n\n \nBaker\nA,B\n', ["4", "7", "9"]),
        ("jobs.ndjson", b'\n{"job": "Clerk"}\n \n[]\n' + b'{"job": "A"}\n' * 1500 + b"{", 0),
        ("jobs.csv", b'id,job\n1,Clerk\n"2","Two\nlines"\n\n3,\n4,Baker\n', ["3", "6"]),
    ],
)
async def test_a_reject_has_the_line_of_the_file_everywhere(
    client: httpx.AsyncClient, name: str, body: bytes, lines: list[str]
) -> None:
    lines = lines or ["4", "1505"]
    job = await load(client, name, body, "jobs")
    file = (await client.get(f"/console/jobs/{job}/rejects")).text
    rows = (await client.get("/rejects")).json()["rows"]
    text = (await page(client, job)).partition('aria-label="Rejected rows"')[2]
    assert [row[0] for row in csv.reader(io.StringIO(file))] == ["line", *lines]
    assert [str(row["position"]) for row in rows] == lines
    assert re.findall(r'<tr><td class="number">(\d+)<', text) == lines


@pytest.mark.parametrize(
    ("name", "body", "advice"),
    [
        ("jobs.csv", b"id,job\n1,\n2,Clerk\n", "load that file"),
        ("jobs.csv", b"job\n \nClerk\n", "load that file"),
        ("jobs.csv.gz", gzip.compress(b"job\n \nClerk\n", mtime=0), "load that file"),
        ("jobs.ndjson.gz", gzip.compress(b'{}\n{"job": "Clerk"}\n', mtime=0), "load that file"),
    ],
)
async def test_the_page_says_how_to_correct_rejects(
    client: httpx.AsyncClient, database: Database, name: str, body: bytes, advice: str
) -> None:
    job = await load(client, name, body, "jobs")
    assert advice in await page(client, job)
    assert await database.fetch("SELECT job FROM jobs") == [("Clerk",)]


async def test_files_with_ids_keep_them(client: httpx.AsyncClient, database: Database) -> None:
    await load(client, "anything.csv", b"7,Sales\n9,Art\n9,Law\n", "departments")
    found = await database.fetch("SELECT id, department FROM departments ORDER BY id")
    assert found == [(7, "Sales"), (9, "Art")]
    (reject,) = (await client.get("/rejects")).json()["rows"]
    assert (reject["source"], reject["origin"]) == ("loader", "anything.csv")


async def test_csv_without_ids_gets_new_ones(client: httpx.AsyncClient, database: Database) -> None:
    await load(client, "new.csv", b'job\n"Clerk\nof works"\nBaker, Art\nBaker\n', "jobs")
    assert await count(database, "jobs") == 1


async def test_a_page_shows_the_first_rejects_and_the_file_has_all(
    client: httpx.AsyncClient, database: Database
) -> None:
    job = await load(client, "d.csv", b"x,Sales\n" * 450, "departments")
    assert (await page(client, job)).count("<tr><td class") == SHOWN
    assert len((await client.get(f"/console/jobs/{job}/rejects")).text.splitlines()) == 451


@pytest.mark.parametrize("name", ["../../evil.csv", "..", "", "a/b.csv", "ü;|.csv", "x" * 300])
async def test_a_file_name_cannot_leave_the_folder_of_its_job(
    client: httpx.AsyncClient, migrated: Settings, name: str
) -> None:
    before = {path for path in migrated.rejects_dir.rglob("*") if path.is_file()}
    job = await preview(client, name, b"1,Clerk\n")
    folder = migrated.rejects_dir / ".console" / job
    new = {path for path in migrated.rejects_dir.rglob("*") if path.is_file()} - before
    assert {path.parent for path in new} == {folder / "0"}


@pytest.mark.parametrize(
    ("body", "advice"),
    [
        (b'[{"job": "Clerk"}]', "NDJSON"),
        (b"id,nonsense\n1,a\n", "It must name id, job."),
        (b"job\n\xff\n", "UTF-8"),
        (gzip.compress(b"1,Clerk\n", mtime=0)[:-9], "jobs.csv is not a complete gzip file"),
    ],
)
async def test_a_file_that_cannot_be_loaded_gets_a_reason(
    client: httpx.AsyncClient, migrated: Settings, body: bytes, advice: str
) -> None:
    job = await preview(client, "jobs.csv", body)
    text = await page(client, job)
    assert advice in text
    assert str(migrated.rejects_dir) not in text


async def test_a_restore_needs_its_word(client: httpx.AsyncClient, database: Database) -> None:
    await add_parents(database, range(1, 3))
    await run(client, "/console/backups?table=jobs")
    name = (await client.get("/avro/backups")).json()["backups"][-1]["name"]
    await client.post("/jobs", json={"job": "New"})
    job = await run(client, f"/console/backups/{name}/restore")
    for word in ("", "all", "JOBS"):
        refused = await client.post(f"/console/jobs/{job}/confirm", json={"word": word})
        assert (refused.status_code, "Type jobs" in refused.text) == (400, True)
    assert await count(database, "jobs") == 3
    await run(client, f"/console/jobs/{job}/confirm", json={"word": "jobs"})
    assert await count(database, "jobs") == 2
    assert (await client.get(f"/console/backups/{name}")).content.startswith(b"Obj\x01")


@pytest.mark.parametrize("name", ["nonsense.avro", "..%2f..%2fetc%2fpasswd", "job.json"])
async def test_only_backups_are_sent(client: httpx.AsyncClient, name: str) -> None:
    assert (await client.get(f"/console/backups/{name}")).status_code == 404
    assert (await client.post(f"/console/backups/{name}/restore")).status_code == 404


async def test_roles_limit_what_a_user_sees_and_does(
    migrated: Settings, database: Database, tmp_path: Path
) -> None:
    phc = Argon2id(salt=b"x" * 16, length=32, iterations=1, lanes=1, memory_cost=64)
    users = tmp_path / "users"
    users.write_text(f"eve:reader:{phc.derive_phc_encoded(b'pass')}\n")
    async with calling(msgspec.structs.replace(migrated, api_users=users)) as client:
        job = await preview(client, "j.csv", b"1,Clerk\n")
        eve = httpx.BasicAuth("eve", "pass")
        overview = (await client.get("/", auth=eve, headers=HTML)).text
        assert "/console/backups" not in overview
        assert "writer" in (await client.get("/console/load", auth=eve, headers=HTML)).text
        for method, path in (
            ("GET", "/console/backups"),
            ("POST", "/console/backups"),
            ("POST", UPLOAD),
            ("POST", "/console/loads"),
            ("POST", f"/console/jobs/{job}/confirm"),
        ):
            sent = b"{}" if method == "POST" else None
            reply = await client.request(method, path, auth=eve, content=sent)
            assert reply.status_code == 403


async def test_the_overview_says_that_the_database_is_not_available(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.core.errors import UnavailableError

    async def away(*_: object) -> None:
        raise UnavailableError("No database answers.")

    monkeypatch.setattr(Database, "fetch", away)
    reply = await client.get("/", headers=HTML)
    assert reply.status_code == 200
    assert "Check that the database" in reply.text


@pytest.mark.parametrize(
    ("name", "media_type"),
    [("console.js", "text/javascript"), ("console.css", "text/css"), ("icon.svg", "image/svg+xml")],
)
async def test_static_files_have_the_media_type_that_browsers_need(
    client: httpx.AsyncClient, name: str, media_type: str
) -> None:
    reply = await client.get(f"/console/static/{name}")
    assert reply.headers["Content-Type"].partition(";")[0] == media_type


async def test_a_browser_keeps_a_static_file_until_it_changes(client: httpx.AsyncClient) -> None:
    first = await client.get("/console/static/console.css")
    assert first.headers["Cache-Control"] == "private, no-cache"
    (tag,) = first.headers.get_list("ETag")
    again = await client.get("/console/static/console.css", headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    other = await client.get("/console/static/console.css", headers={"If-None-Match": '"old"'})
    assert other.content == first.content
