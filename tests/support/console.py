"""Jobs of the console for the tests: start them, follow them, show their pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from service.core.database.transactions import Database
from service.core.errors import UnavailableError
from service.web.console.jobs import token

HTML = {"Accept": "text/html"}
UPLOAD = "/console/uploads/0123456789abcdef/0?name=j.csv"
SECONDS = 200
"""Longest time for a request: a large upload, or the events of a long job."""


async def start(client: httpx.AsyncClient, url: str, **request: Any) -> str:
    """Start a job; its id."""
    reply = await client.post(url, timeout=SECONDS, **request)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["job"])


async def run(client: httpx.AsyncClient, url: str, **request: Any) -> str:
    """Start a job and wait until it is no longer running; its id."""
    job = await start(client, url, **request)
    await events(client, job)
    return job


async def events(client: httpx.AsyncClient, job: str) -> list[dict[str, Any]]:
    """All events of a job until it is no longer running."""
    reply = await client.get(f"/console/jobs/{job}/events", timeout=SECONDS)
    return [msgspec.json.decode(data) for data in re.findall(r"(?m)^data: (.*?)\r?$", reply.text)]


async def upload(client: httpx.AsyncClient, *files: tuple[str, Any]) -> str:
    """Upload files, (name, content); the id of the upload."""
    upload_id = token()
    for number, (name, content) in enumerate(files):
        reply = await client.post(
            f"/console/uploads/{upload_id}/{number}",
            params={"name": name},
            content=content,
            timeout=SECONDS,
        )
        assert reply.status_code == 201, reply.text
    return upload_id


async def begin(client: httpx.AsyncClient, name: str, content: Any, table: str = "jobs") -> str:
    """Upload a file and begin its check; the id of the job."""
    upload_id = await upload(client, (name, content))
    return await start(client, "/console/loads", json={"upload": upload_id, "tables": {0: table}})


async def preview(client: httpx.AsyncClient, name: str, content: Any, table: str = "jobs") -> str:
    """Upload a file and wait for its check; the id of the job."""
    job = await begin(client, name, content, table)
    await events(client, job)
    return job


async def load(client: httpx.AsyncClient, name: str, body: bytes, table: str) -> str:
    """Preview a file and load it; the id of the job."""
    return await confirm(client, await preview(client, name, body, table))


async def confirm(client: httpx.AsyncClient, job: str) -> str:
    """Confirm a job and wait for its end; its id."""
    return await run(client, f"/console/jobs/{job}/confirm", json={"word": ""})


async def page(client: httpx.AsyncClient, job: str) -> str:
    """The page of a job."""
    return (await client.get(f"/console/jobs/{job}", headers=HTML)).text


async def update_jobs(database: Database, assignments: str) -> None:
    """Change all jobs in the database."""
    async with database.transaction() as transaction:
        await transaction.execute(f"UPDATE console_jobs SET {assignments}")


async def age_jobs(database: Database, seconds: int) -> None:
    """Make the heartbeats of all jobs older."""
    await update_jobs(
        database, f"heartbeat_at = DATE_SUB(CURRENT_TIMESTAMP(6), INTERVAL {seconds} SECOND)"
    )


def failing_after(calls: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises UnavailableError after so many calls."""
    left = iter(range(calls))

    async def failing(*args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise UnavailableError("The database is not available.")
        return await function(*args, **options)

    return failing
