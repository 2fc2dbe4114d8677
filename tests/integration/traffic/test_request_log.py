"""Request ids, log lines, metrics, and the limit on batches."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import msgspec
import pytest
import structlog

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.conftest import calling
from tests.support.console import load, run
from tests.support.waiting import until

SECRET = "Nobody Reads This"


async def test_a_valid_request_id_is_kept(client: httpx.AsyncClient) -> None:
    reply = await client.get("/health/live", headers={"X-Request-ID": "batch-17:a/b"})
    assert reply.headers["X-Request-ID"] == "batch-17:a/b"


@pytest.mark.parametrize("sent", [None, "", "a b", "x" * 129, "<script>", "é"])
async def test_a_request_without_a_valid_id_gets_one(
    client: httpx.AsyncClient, sent: str | None
) -> None:
    headers = {} if sent is None else {b"X-Request-ID": sent.encode("latin-1")}
    replies = [await client.get("/health/live", headers=headers) for _ in range(2)]
    first, second = (reply.headers["X-Request-ID"] for reply in replies)
    assert len(first) == 32
    assert first != second


async def test_an_unknown_route_has_an_id(client: httpx.AsyncClient) -> None:
    assert (await client.get("/nothing")).headers["X-Request-ID"]


async def test_a_request_is_one_line_without_its_content(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as lines:
        await client.post("/departments?dry_run=true", json={"department": SECRET})
        await client.post(f"/departments?x={SECRET}", json={"department": SECRET})
    assert [line["route"] for line in lines] == ["/departments"] * 2
    assert {(line["method"], line["user"]) for line in lines} == {("POST", "admin")}
    assert [line["status"] for line in lines] == [200, 400]
    assert SECRET not in str(lines)


async def figures(client: httpx.AsyncClient) -> dict[str, float]:
    """Every sample by its name and labels."""
    text = (await client.get("/metrics")).text
    samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in samples}


async def test_metrics_count_corrections(client: httpx.AsyncClient) -> None:
    """Of rows and of rejects: alone, by a rule, repeated with a key, and refused."""
    key = {"Idempotency-Key": "once"}
    await client.post("/jobs", json=[{"job": ""}, {"job": " "}, {"job": 5}, {"job": 5}])
    first, second, *_ = [row["id"] for row in (await client.get("/rejects")).json()["rows"]]
    correction = partial(client.post, f"/rejects/{first}/correction", json={"job": "A"})
    done, _ = [await correction(headers=key) for _ in range(2)]
    for _ in range(2):
        await client.post(f"/rejects/{second}/dismissal", json={"reason": "x"})
    place = {"table": "jobs", "source": "api", "origin": "POST /jobs", "field": "job"}
    rule = {**place, "code": "type", "from": 5, "to": "B"}
    for query in ("?dry_run=true", "", ""):
        await client.post(f"/rejects/corrections{query}", json=rule)
    row = f"/jobs/{done.json()['id']}"
    for _ in range(2):
        await client.patch(row, json={"job": "C"}, headers=key)
        await client.patch(row, json={"job": ""})
        await client.delete(row)
    metrics = await figures(client)
    expected = {
        'rejects_closed_total{state="corrected"}': 3,
        'rejects_closed_total{state="dismissed"}': 1,
        'rows_corrected_total{action="changed",table="jobs"}': 1,
        'rows_corrected_total{action="deleted",table="jobs"}': 1,
        'rows_inserted_total{table="jobs"}': 3,
    }
    assert {name: metrics.get(f"hirebase_{name}") for name in expected} == expected


async def test_metrics_count_rows_and_requests(client: httpx.AsyncClient) -> None:
    rows = [{"department": "A"}, {"department": ""}, {"department": 5}]
    await client.post("/departments", json=rows)
    await client.get("/departments/1/2/3")
    metrics = await figures(client)
    assert metrics['hirebase_rows_inserted_total{table="departments"}'] == 1
    assert metrics['hirebase_rows_rejected_total{code="blank",table="departments"}'] == 1
    assert metrics['hirebase_rows_rejected_total{code="type",table="departments"}'] == 1
    where = 'method="POST",route="/departments",status="207"'
    assert metrics[f"hirebase_request_seconds_count{{{where}}}"] == 1
    assert not [name for name in metrics if "/1/2/3" in name]


async def test_a_replay_counts_no_rows(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post("/jobs", json={"job": "x"}, headers={"Idempotency-Key": "once"})
    assert (await figures(client))['hirebase_rows_inserted_total{table="jobs"}'] == 1


async def test_metrics_include_the_pool(client: httpx.AsyncClient) -> None:
    async def is_idle() -> bool:
        return (await figures(client))["hirebase_pool_waiting"] == 0

    await until(is_idle, 10)  # a background task may wait for its first connection
    metrics = await figures(client)
    assert metrics["hirebase_pool_connections"] >= metrics["hirebase_pool_free"]
    assert metrics["hirebase_snapshot_seconds"] < 1


async def test_metrics_count_loads_and_backups(client: httpx.AsyncClient) -> None:
    body = b"1,Sales\n2,Law\n3,\n"
    await load(client, "departments.csv", body, "departments")
    backup = (await client.get("/avro/backup/departments")).content
    saved = (await client.post("/avro/backup")).json()
    for url in ("restore/departments?dry_run=true", "restore/departments", "verify"):
        assert (await client.post(f"/avro/{url}", content=backup)).status_code == 200
    assert (await client.post("/avro/verify", content=backup[:-1])).status_code == 422
    await run(client, "/console/backups?table=jobs")
    metrics = await figures(client)
    rows = {name: value for name, value in metrics.items() if "loader_rows_total" in name}
    assert rows['hirebase_loader_rows_total{outcome="added",table="departments"}'] == 2
    assert rows['hirebase_loader_rows_total{outcome="rejected",table="departments"}'] == 1
    assert sum(rows.values()) == 3
    assert metrics['hirebase_loader_errors_total{code="missing",table="departments"}'] == 1
    assert {name: value for name, value in metrics.items() if "backups_total" in name} == {
        'hirebase_backups_total{action="backup",outcome="done"}': 3,
        'hirebase_backups_total{action="restore",outcome="done"}': 1,
        'hirebase_backups_total{action="restore_dry_run",outcome="done"}': 1,
        'hirebase_backups_total{action="verify",outcome="done"}': 1,
        'hirebase_backups_total{action="verify",outcome="failed"}': 1,
    }
    assert metrics["hirebase_backup_bytes_total"] > len(backup) + saved["size"]


async def test_an_excess_batch_is_refused_immediately(
    database: Database, migrated: Settings
) -> None:
    rows = [{"job": f"clerk {number}"} for number in range(1000)]
    async with calling(msgspec.structs.replace(migrated, api_max_batches=2)) as client:
        replies = await asyncio.gather(*(client.post("/jobs", json=rows) for _ in range(12)))
    assert {reply.status_code for reply in replies} == {201, 503}
    refused = [reply for reply in replies if reply.status_code == 503]
    assert all(reply.headers["Retry-After"] for reply in refused)
    inserted = (len(replies) - len(refused)) * len(rows)
    assert await database.fetch("SELECT COUNT(*) FROM jobs") == [(inserted,)]


@pytest.mark.parametrize(("form", "wanted"), [("json", '"event": "hello"'), ("console", "hello")])
async def test_logs_go_to_standard_error_in_either_form(form: str, wanted: str) -> None:
    assert wanted in await logged(form, "log.info('hello')")


STANDARD, STRUCTURED = "log.info('hello')", "structlog.get_logger('any').info('hello')"


async def test_lines_of_both_libraries_have_the_same_form() -> None:
    standard, structured = [
        msgspec.json.decode(await logged("json", f"import structlog; {line}"))
        for line in (STANDARD, STRUCTURED)
    ]
    assert set(standard) == set(structured) == {"event", "level", "logger", "timestamp"}
    del standard["timestamp"], structured["timestamp"]
    assert standard == structured
    standard_text, structured_text = [
        (await logged("console", f"import structlog; {line}")).split(maxsplit=1)[1]
        for line in (STANDARD, STRUCTURED)
    ]
    assert standard_text == structured_text


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_killed_process_has_written_its_lines_in_order(form: str) -> None:
    code = """
import structlog
for number in range(20):
    structlog.get_logger('any').info('event %d', 2 * number)
    log.info('event %d', 2 * number + 1)
import os; os.kill(os.getpid(), 9)
"""
    lines = (await logged(form, code)).splitlines()
    assert len(lines) == 40
    assert all(f"event {at}" in line for at, line in enumerate(lines))


def test_a_full_disk_fails_nothing_that_is_logged() -> None:
    code = """
from service.web.traffic import log_format as logs; import structlog; logs.configure('info', 'json')
for _ in range(1000):
    structlog.get_logger('any').info('hello')
print('alive')
"""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=full, check=True
        )
    assert done.stdout == b"alive\n"


@pytest.mark.parametrize("form", ["json", "console"])
async def test_half_a_surrogate_pair_can_be_logged(form: str) -> None:
    line = await logged(
        form, "import structlog; structlog.get_logger().info('hello', user='\\ud83d')"
    )
    assert "ud83d" in line


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_traceback_in_the_log_shows_no_values(form: str) -> None:
    failing = """
def fail():
    password = "-".join(["top", "secret"])
    raise ValueError("it failed")

try:
    fail()
except ValueError as error:
    log.error("an error", exc_info=error)
"""
    output = await logged(form, failing)
    assert "it failed" in output
    assert "top-secret" not in output


async def logged(form: str, code: str) -> str:
    """The log of code in a separate process, because logging is configured once."""
    setup = "import logging; from service.web.traffic import log_format as logs; "
    setup += f"logs.configure('info', '{form}'); log = logging.getLogger('any')\n"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", setup + code, stderr=asyncio.subprocess.PIPE
    )
    _, output = await process.communicate()
    return output.decode()
