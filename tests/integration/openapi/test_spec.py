"""The OpenAPI document describes what the service does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from service.core.database.transactions import Database
from service.core.rules.fields import Id, Text
from service.core.settings import Settings
from service.core.tables import TABLES, Table, by_path
from service.web import app
from service.web.app import create_app
from service.web.openapi import operations, spec
from service.web.openapi.operations import ALWAYS
from service.web.openapi.schemas import sample, stored_sample
from tests.support.hires import PARENTS

Client = AsyncTestClient[Litestar]


class Skill(msgspec.Struct):
    """A row of a table that is not there yet."""

    skill: Text
    level: Id


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As a client reads it: out of JSON."""
    schema = create_app(Settings(api_pass="unused")).openapi_schema
    text = json.dumps(schema.to_schema(), ensure_ascii=False)
    found: dict[str, Any] = msgspec.json.decode(text.encode())
    return found


@pytest.fixture
async def parents(database: Database) -> None:
    """Row 1 of every table that others refer to."""
    async with database.transaction() as transaction:
        for table in PARENTS:
            await transaction.insert(
                table.sql["insert_with_id"], [tuple(stored_sample(table).values())]
            )


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def resolve(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in value:
        return value
    for name in value["$ref"].removeprefix("#/").split("/"):
        document = document[name]
    return document


def bodies(document: dict[str, Any], path: str, method: str, status: int) -> dict[str, Any]:
    """The content of a reply by media type."""
    replies = document["paths"][path][method]["responses"]
    found: dict[str, Any] = resolve(document, replies[str(status)])["content"]
    return found


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        assert resolve(document, {"$ref": reference}), reference


def test_every_route_is_documented(document: dict[str, Any]) -> None:
    routes = create_app(Settings(api_pass="unused")).routes
    pages = re.compile("/(schema.*|console.*)?").fullmatch
    served = {route.path for route in routes if not pages(route.path)}
    documented = {re.sub(r"{(\w+)}", r"{\1:", path) for path in document["paths"]}
    assert {re.sub(r":\w+}", ":", path) for path in served} == documented


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in operations_of(document)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_every_operation_documents_success_and_every_problem(document: dict[str, Any]) -> None:
    for method, path, operation in operations_of(document):
        where = f"{method} {path}"
        statuses = set(operation["responses"])
        assert operation["summary"], where
        assert operation["tags"], where
        assert any(status.startswith("2") for status in statuses), where
        if operation.get("security") != []:
            assert {str(status) for status in ALWAYS} <= statuses, where
        for status, reply in operation["responses"].items():
            content = resolve(document, reply)["content"]
            assert ("application/problem+json" in content) == (status >= "4"), f"{where} {status}"


def test_only_probes_need_no_credentials(document: dict[str, Any]) -> None:
    assert document["security"] == [{"basic": []}]
    opened = {
        path for _, path, documented in operations_of(document) if documented.get("security") == []
    }
    assert opened == {"/health/live", "/health/ready"}


def test_a_path_names_the_tables(document: dict[str, Any]) -> None:
    (table,) = [
        parameter
        for parameter in document["paths"]["/avro/backup/{table}"]["get"]["parameters"]
        if parameter["name"] == "table"
    ]
    assert table["schema"]["enum"] == [*(table.path for table in TABLES), "all"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
def test_patterns_work_in_javascript(document: dict[str, Any], table: Table) -> None:
    for field in document["components"]["schemas"][table.row.__name__]["properties"].values():
        pattern = field.get("pattern", "^$")
        assert pattern.isascii()
        assert r"\Z" not in pattern
        assert pattern.endswith("$")


def test_a_new_table_is_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = (*TABLES, Table("skills", "skills", Skill))
    for module in (app, spec, operations):
        monkeypatch.setattr(module, "TABLES", tables)
    document = create_app(Settings(api_pass="unused")).openapi_schema.to_schema()
    assert {"Skill", "StoredSkill", "SkillPage"} <= set(document["components"]["schemas"])
    body = document["paths"]["/skills"]["post"]["requestBody"]["content"]
    assert body["text/csv"]["examples"].popitem()[1]["value"] == "skill,level\ntext,1\n"
    for reference in set(references(document)):
        assert resolve(document, {"$ref": reference}), reference


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
