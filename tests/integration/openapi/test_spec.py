"""The OpenAPI document is complete: every route, problem and table; every reference exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from service.core.rules.fields import Id, Text
from service.core.settings import Settings
from service.core.tables import TABLES, Table
from service.web import app
from service.web.app import create_app
from service.web.openapi import operations, spec
from service.web.openapi.operations import ALWAYS
from tests.support.openapi import resolve


class Skill(msgspec.Struct):
    """A row of a table that is not there yet."""

    skill: Text
    level: Id


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
