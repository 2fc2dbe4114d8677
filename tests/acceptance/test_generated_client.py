"""A client that openapi-python-client generates from the OpenAPI document works as it is."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from service.core.database.transactions import Database
from tests.conftest import PASSWORD, USER
from tests.support.program import ROOT, Service
from tests.support.snippets import snippets

NAME = "hirebase_client"
CONFIG = ROOT / "examples" / "openapi-python-client.yml"
MOMENT = datetime(2021, 7, 27, 16, 2, 8, tzinfo=UTC)
Part = Callable[[str], Any]


def generate(*where: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "openapi_python_client", "generate", *where)
    return subprocess.run(
        [*command, "--config", str(CONFIG), "--meta", "none"],
        # It formats its code with ruff.
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
async def generated(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a new client."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    async with service.client(USER, PASSWORD) as client:
        document.write_bytes((await client.get("/schema/openapi.json")).content)
    where = ("--path", str(document), "--output-path", str(folder / NAME))
    ended = await asyncio.to_thread(generate, *where)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "ERROR" not in ended.stdout
    return folder


@pytest.fixture
def part(generated: Path, monkeypatch: pytest.MonkeyPatch) -> Part:
    """Imports a module of the client."""
    monkeypatch.syspath_prepend(str(generated))
    return lambda name: importlib.import_module(f"{NAME}.{name}")


@pytest.fixture
async def client(part: Part, service: Service) -> AsyncIterator[Any]:
    client = part("client").Client(
        base_url=f"http://127.0.0.1:{service.port}",
        httpx_args={"auth": (USER, PASSWORD), "trust_env": False},
    )
    with client.get_httpx_client():
        async with client.get_async_httpx_client():
            yield client


async def test_rows_are_posted_read_and_explained(
    parents: Database, part: Part, client: Any
) -> None:
    employee = part("models.employee").Employee
    good = employee(name="Ada Lovelace", datetime_=MOMENT, department_id=1, job_id=1)
    bad = employee(name=" ", datetime_=MOMENT, department_id=99, job_id=1)
    insert = part("api.employees.insert_employees")
    reply = await insert.asyncio_detailed(client=client, body=[good, bad], idempotency_key="one")
    assert reply.status_code == 207
    first, none = reply.parsed.ids
    assert none is None
    (failure,) = reply.parsed.failures
    code = part("models.error_code").ErrorCode
    assert failure.index == 1
    assert [(error.field, error.code) for error in failure.errors] == [
        ("name", code.BLANK),
        ("department_id", code.NOT_FOUND),
    ]
    assert failure.record["name"] == " "

    again = await insert.asyncio(client=client, body=[good, bad], idempotency_key="one")
    assert again == reply.parsed
    row = await part("api.employees.get_employees").asyncio(first, client=client)
    assert (row.id, row.name, row.datetime_) == (first, "Ada Lovelace", MOMENT)
    page = await part("api.employees.list_employees").asyncio(client=client)
    assert ([listed.to_dict() for listed in page.rows], page.next_) == ([row.to_dict()], None)
    rejects = await part("api.rejects.list_rejects").asyncio(client=client)
    assert [reject.position for reject in rejects.rows] == [1]


async def test_modes_dry_runs_and_problems(parents: Database, part: Part, client: Any) -> None:
    job = part("models.job").Job
    insert = part("api.jobs.insert_jobs")
    mode = part("models.insert_jobs_mode").InsertJobsMode.ATOMIC
    refused = await insert.asyncio(client=client, body=[job("Clerk"), job("")], mode=mode)
    assert (refused.received, refused.inserted, refused.ids) == (2, 0, [None, None])
    dry = await insert.asyncio_detailed(client=client, body=job("Clerk"), dry_run=True)
    assert (dry.status_code, dry.parsed.inserted, dry.parsed.failed) == (200, 0, 0)
    missing = await part("api.jobs.get_jobs").asyncio(999, client=client)
    assert (missing.status, missing.detail) == (404, "There is no row 999 in jobs.")


def test_backups_are_files(part: Part, client: Any) -> None:
    """Without async: the client sends files as streams, which httpx reads only there."""
    table = part("models.backup_table").BackupTable.ALL
    content = part("api.avro.backup").sync(table, client=client).payload.read()
    assert content.startswith(b"PK")
    file = part("types").File(payload=BytesIO(content))
    assert part("api.avro.verify").sync(client=client, body=file).verified
    named = part("types").File(payload=BytesIO(content), file_name="all.zip")
    body = part("models.restore_all_files_body").RestoreAllFilesBody(named)
    restored = part("api.avro.restore_all").sync(client=client, body=body)
    assert [one.verified for one in restored.tables] == [True, True, True]
    assert "hirebase_backups_total" in part("api.metrics.metrics").sync(client=client)


def test_the_snippet_of_the_page_runs(part: Part, service: Service) -> None:
    _, snippet = snippets("clients.md", f"127.0.0.1:{service.port}", PASSWORD)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert names["verdict"].inserted == 1
    names["client"].get_httpx_client().close()
