"""Replies equal what the OpenAPI document says of them, and its examples work."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from httpx import AsyncClient as Client

from service.core.database.transactions import Database
from service.core.tables import TABLES, by_path
from service.web.openapi.schemas import sample, stored_sample
from tests.support.hires import PARENTS
from tests.support.openapi import bodies, resolve


@pytest.fixture
async def parents(database: Database) -> None:
    """Row 1 of every table that others refer to."""
    async with database.transaction() as transaction:
        for table in PARENTS:
            await transaction.insert(
                table.sql["insert_with_id"], [tuple(stored_sample(table).values())]
            )


@pytest.mark.parametrize("path", [table.path for table in TABLES])
async def test_the_examples_work(
    client: Client, parents: None, document: dict[str, Any], path: str
) -> None:
    wanted = {"one of two is bad": 207}
    content = document["paths"][f"/{path}"]["post"]["requestBody"]["content"]
    for media_type, body in content.items():
        for name, example in body.get("examples", {}).items():
            value = example["value"]
            sent = value if isinstance(value, str) else json.dumps(value)
            reply = await client.post(
                f"/{path}", content=sent.encode(), headers={"Content-Type": media_type}
            )
            assert reply.status_code == wanted.get(name, 201), f"{media_type} {name}: {reply.text}"


@pytest.mark.parametrize("path", [table.path for table in TABLES])
async def test_results_equal_the_examples(
    client: Client, parents: None, document: dict[str, Any], path: str
) -> None:
    examples = document["paths"][f"/{path}"]["post"]["requestBody"]["content"]["application/json"]
    body = examples["examples"]["one of two is bad"]["value"]
    (shown,) = bodies(document, f"/{path}", "post", 207)["application/json"]["examples"].values()
    given = (await client.post(f"/{path}", json=body)).json()
    given["ids"] = [key and 1 for key in given["ids"]]
    assert given == shown["value"]


@pytest.mark.parametrize("path", [table.path for table in TABLES])
async def test_rows_equal_the_examples(
    client: Client, parents: None, document: dict[str, Any], path: str
) -> None:
    (key,) = (await client.post(f"/{path}", json=sample(by_path(path)))).json()["ids"]
    (row,) = bodies(document, f"/{path}/{{row_id}}", "get", 200)["application/json"][
        "examples"
    ].values()
    assert (await client.get(f"/{path}/{key}")).json() == row["value"] | {"id": key}
    page = (await client.get(f"/{path}", params={"after": key - 1, "limit": 1})).json()
    assert page == {"rows": [row["value"] | {"id": key}], "next": key}


@pytest.mark.parametrize("path", [table.path for table in TABLES])
async def test_changes_equal_the_document(
    client: Client, parents: None, document: dict[str, Any], path: str
) -> None:
    (key,) = (await client.post(f"/{path}", json=sample(by_path(path)))).json()["ids"]
    url, template = f"/{path}/{key}", f"/{path}/{{row_id}}"
    body = document["paths"][template]["patch"]["requestBody"]["content"]["application/json"]
    changed = await client.patch(url, json=body["examples"].popitem()[1]["value"])
    wrong: Any = {"headers": {"If-Match": '"x"'}}
    broken = dict.fromkeys(sample(by_path(path)))
    replies = [
        ("patch", changed, 200),
        ("patch", await client.patch(url, json=broken), 422),
        ("patch", await client.patch(url, json={}, **wrong), 412),
        ("delete", await client.delete(url, **wrong), 412),
        ("delete", await client.delete(url), 200),
    ]
    for method, reply, status in replies:
        assert reply.status_code == status, reply.text
        media_type = reply.headers["Content-Type"].partition(";")[0]
        assert media_type in bodies(document, template, method, status)
    assert changed.json() == {"id": key, **sample(by_path(path))}


async def test_rejects_equal_the_examples(client: Client, document: dict[str, Any]) -> None:
    posted = document["paths"]["/departments"]["post"]["requestBody"]["content"]
    _, bad = posted["application/json"]["examples"]["one of two is bad"]["value"]
    await client.post("/departments", json=bad)
    (given,) = (await client.get("/rejects")).json()["rows"]
    (example,) = bodies(document, "/rejects", "get", 200)["application/json"]["examples"].values()
    (shown,) = example["value"]["rows"]
    varying = ("id", "rejected_at")
    # The document leaves out values that are null.
    given = {name: value for name, value in given.items() if value is not None}
    assert {**given, **dict.fromkeys(varying)} == {**shown, **dict.fromkeys(varying)}


REPLIES = [
    ("get", "/departments", {}, 200),
    ("get", "/departments?limit=0", {}, 400),
    ("get", "/departments/2147483647", {}, 404),
    ("post", "/departments", {"json": [{"department": "Sales"}]}, 201),
    ("post", "/departments", {"json": [{"department": "Sales"}, {}]}, 207),
    ("post", "/departments", {"json": [{}]}, 422),
    ("post", "/departments", {"json": []}, 422),
    ("post", "/departments?dry_run=true", {"json": [{"department": "Sales"}]}, 200),
    ("post", "/departments", {"content": b"nonsense"}, 400),
    ("post", "/departments", {"content": b"x", "headers": {"Content-Type": "text/html"}}, 415),
    ("post", "/departments", {"content": b" " * (5 << 20)}, 413),
    ("get", "/departments", {"headers": {"Accept": "text/csv"}}, 200),
    ("get", "/departments", {"headers": {"Accept": "application/x-ndjson"}}, 200),
    ("get", "/departments?order=-department&count=exact", {}, 200),
    ("get", "/employees?expand=job&department_id=1&order=name", {}, 200),
    ("patch", "/departments/2147483647", {"json": {}}, 404),
    ("patch", "/departments/1", {"content": b"nonsense"}, 404),
    ("delete", "/departments/2147483647", {}, 404),
    ("get", "/rejects", {"headers": {"Accept": "text/csv"}}, 200),
    ("get", "/rejects/summary", {}, 200),
    ("get", "/rejects", {}, 200),
    ("get", "/rejects?table=nonsense", {}, 404),
    ("get", "/rejects?source=nonsense", {}, 400),
    ("get", "/reports/hires-by-quarter", {}, 200),
    ("get", "/reports/hires-by-quarter", {"headers": {"Accept": "text/csv"}}, 200),
    ("get", "/reports/hires-by-quarter?year=0", {}, 400),
    ("get", "/reports/departments-above-mean", {}, 200),
    ("get", "/reports/departments-above-mean.svg", {}, 200),
    ("get", "/limits", {}, 200),
    ("get", "/avro/backup/departments", {}, 200),
    ("get", "/avro/backup/all", {}, 200),
    ("get", "/avro/backup/nonsense", {}, 404),
    ("get", "/avro/backup/jobs?codec=nonsense", {}, 400),
    ("post", "/avro/backup?table=jobs", {}, 201),
    ("post", "/avro/backup?keep=0", {}, 400),
    ("get", "/avro/backups", {}, 200),
    ("post", "/avro/verify", {"content": b"nonsense"}, 422),
    ("post", "/avro/verify?backup=nonsense.avro", {}, 404),
    ("post", "/avro/restore/all", {"content": b"nonsense"}, 422),
    ("post", "/avro/restore/jobs", {"content": b"nonsense"}, 422),
    ("post", "/avro/restore/nonsense", {"content": b"nonsense"}, 404),
    ("post", "/avro/restore/jobs", {"files": {"other": b"nonsense"}}, 400),
    ("get", "/metrics", {}, 200),
    ("get", "/health/live", {}, 200),
    ("get", "/health/ready", {}, 200),
]


@pytest.mark.parametrize(
    ("method", "url", "request_", "status"),
    REPLIES,
    ids=[f"{method} {url} {status}" for method, url, _, status in REPLIES],
)
async def test_replies_equal_the_document(
    client: Client,
    document: dict[str, Any],
    method: str,
    url: str,
    request_: dict[str, Any],
    status: int,
) -> None:
    reply = await client.request(method, url, **request_)
    assert reply.status_code == status, reply.text
    path = url.partition("?")[0]
    path = re.sub(r"/\d+$", "/{row_id}", path)
    if path not in document["paths"]:
        path = re.sub(r"^(/avro/\w+)/.*", r"\1/{table}", path)
    documented = bodies(document, path, method, status)
    media_type = reply.headers["Content-Type"].partition(";")[0]
    assert media_type in documented
    if media_type.endswith("json"):
        schema = resolve(document, documented[media_type]["schema"])
        if "properties" in schema:
            assert set(schema["required"]) <= set(reply.json())
        if schema.get("additionalProperties") is False:
            assert set(reply.json()) == set(schema["properties"])
