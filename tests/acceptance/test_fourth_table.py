"""A fourth table, added by the steps of docs/architecture.md, works everywhere."""

from __future__ import annotations

import csv
import io
import os
import re
import shutil

import msgspec
import pytest

from tests.fourth.company import (
    BAD,
    BARE,
    CHANGED,
    FORMATS,
    FULL,
    NULLS,
    PARENTS,
    SHOWN,
    ZEROS,
    Company,
    as_csv,
    text_of,
)
from tests.support import program
from tests.support.hires import codes


@pytest.mark.parametrize("kind", FORMATS)
async def test_each_format_accepts_each_type(ready: Company, kind: str) -> None:
    verdict = await ready.post([FULL, NULLS, BARE, ZEROS], kind)
    assert (verdict["inserted"], verdict["failures"]) == (4, [])
    found = await ready.rows()
    assert found == [{"id": key, **row} for key, row in zip(verdict["ids"], SHOWN, strict=True)]
    one = await ready.client.get(f"/contracts/{verdict['ids'][1]}")
    assert one.json() == found[1]
    second = await ready.post([{k: v for k, v in row.items() if k != "id"} for row in found], kind)
    assert second["inserted"] == 4


@pytest.mark.parametrize("number", [12.5, 12, -0.01])
@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "text/csv"])
async def test_a_number_becomes_the_decimal_that_it_shows(
    ready: Company, kind: str, number: float
) -> None:
    verdict = await ready.post([FULL | {"salary": number}, FULL | {"salary": 0.125}], kind)
    assert [one["errors"][0]["code"] for one in verdict["failures"]] == ["format"]
    (row,) = await ready.rows()
    assert float(row["salary"]) == number


@pytest.mark.parametrize("kind", FORMATS)
async def test_each_format_rejects_the_same_rows_with_the_same_codes(
    ready: Company, kind: str
) -> None:
    # MessagePack has no smaller number than a BIGINT.
    bad = [one for one in BAD if kind != "application/msgpack" or one[1] != -(2**63) - 1]
    wanted = [(field, code) for field, _, code in bad]
    rows = [FULL | {field: value} for field, value, _ in bad]
    verdict = await ready.post([*rows, FULL], kind)
    assert verdict["inserted"] == 1
    assert [codes(one) for one in verdict["failures"]] == [{one} for one in wanted]
    missing = await ready.post([{"note": "x"}], kind)
    assert codes(missing["failures"][0]) == {(name, "missing") for name in BARE}
    logged = await ready.client.get("/rejects?table=contracts&limit=1000")
    assert len(logged.json()["rows"]) == len(rows) + 1


async def test_the_loader_applies_the_rules_of_the_api(ready: Company) -> None:
    rows = [FULL, NULLS, ZEROS, *(FULL | {field: value} for field, value, _ in BAD)]
    names = ["id", *FULL]
    text = as_csv([{"id": at, **row} for at, row in enumerate(rows, 1)], names).decode()
    dry = await ready.load("--dry-run", "--json", **PARENTS, contracts=text)
    wet = await ready.load("--json", **PARENTS, contracts=text)
    repeated = await ready.load("--json", **PARENTS, contracts=text)
    assert dry.code == wet.code == repeated.code == 0, wet.err
    tried, done, same = (msgspec.json.decode(one.out)[-1] for one in (dry, wet, repeated))
    expected_codes = sorted({code for _, _, code in BAD})
    for result in (tried, done):
        assert (result["added"], result["rejected"], sorted(result["codes"])) == (
            3,
            len(BAD),
            expected_codes,
        )
    assert (same["added"], same["unchanged"], same["changed"]) == (0, 3, 0)
    found = await ready.rows()
    wanted = [SHOWN[0], SHOWN[1], SHOWN[3]]
    assert found == [{"id": at, **row} for at, row in enumerate(wanted, 1)]
    assert len((await ready.client.get("/rejects?table=contracts")).json()["rows"]) == len(BAD)


async def test_a_conflict_is_detected_in_each_type(ready: Company) -> None:
    names = ["id", *FULL]
    first = as_csv([{"id": 1, **FULL}], names).decode()
    await ready.load(**PARENTS, contracts=first)
    for name, value in CHANGED.items():
        other = as_csv([{"id": 1, **FULL, name: value}], names).decode()
        for text in (other, first):
            finished = await ready.load("--json", "--on-conflict", "replace", contracts=text)
            assert msgspec.json.decode(finished.out)[-1]["changed"] == 1, name


async def test_openapi_and_the_console_have_the_table(ready: Company) -> None:
    document = (await ready.client.get("/schema/openapi.json")).json()
    assert {"/contracts", "/contracts/{row_id}"} <= {path.rstrip("/") for path in document["paths"]}
    contract = document["components"]["schemas"]["Contract"]
    assert set(contract["required"]) == set(BARE)
    example = document["paths"]["/contracts"]["post"]["requestBody"]["content"]
    sample = example["application/json"]["examples"]["a row"]["value"]
    assert (await ready.post([sample]))["inserted"] == 1
    sent = example["text/csv"]["examples"]["a header, then a row a line"]["value"]
    reply = await ready.client.post(
        "/contracts", content=sent, headers={"Content-Type": "text/csv"}
    )
    assert reply.status_code == 201, reply.text
    verdict = await ready.post([NULLS])
    (key,) = verdict["ids"]
    assert (await ready.client.patch(f"/contracts/{key}", json=CHANGED)).status_code == 200
    address = "/console/tables/contracts"
    rows, row = [await ready.client.get(one) for one in (address, f"{address}/{key}")]
    for shown in (rows, row):
        assert shown.status_code == 200, shown.text
        assert "None" not in shown.text
    assert "1.50" in rows.text
    assert all(text in row.text for text in ("<ins>false</ins>", "<ins>1.50</ins>", "Ana</a>"))


async def test_the_console_searches_each_type(ready: Company) -> None:
    full, nulls, _, zeros = (await ready.post([FULL, NULLS, BARE, ZEROS]))["ids"]
    for query, found in [
        ("title=O&note=%C3%9Cn&employee=An&job=Clerk", {full, zeros}),
        ("signed_from=2021-07-27&signed_before=2021-07-28&remote=false", {zeros}),
        ("balance=0&salary=0&insured=true&grade=", {zeros}),
        (f"starts_on_from=1000-01-01&id={nulls}&order=-title", {nulls}),
    ]:
        page = await ready.client.get(f"/console/tables/contracts?{query}")
        assert page.status_code == 200, page.text
        assert set(map(int, re.findall(r"/contracts/(\d+)", page.text))) == found, query


async def test_the_tests_of_all_tables_pass_with_it(
    company: Company,
) -> None:
    shutil.copytree(program.ROOT / "tests", company.where / "tests")
    shutil.copy(program.ROOT / "pyproject.toml", company.where)
    finished = await program.run(
        "pytest",
        *("-n0", "-q", "-p", "no:cacheprovider"),
        *("tests/unit/test_sql.py", "tests/unit/rules/test_batch_properties.py"),
        "tests/integration/database/test_schema.py",
        where=str(company.where),
        TEST_MYSQL_URL=os.environ["TEST_SERVER"],
        PYTEST_XDIST_WORKER="fourth",
        CI="true",  # Hypothesis takes its fixed examples
    )
    assert finished.code == 0, finished.out[-3000:] + finished.err[-1000:]


async def listed(company: Company, query: str) -> list[int]:
    reply = await company.client.get(f"/contracts?{query}")
    assert reply.status_code == 200, reply.text
    return [row["id"] for row in reply.json()["rows"]]


async def test_each_type_has_its_filter(ready: Company) -> None:
    full, nulls, _, zeros = (await ready.post([FULL, NULLS, BARE, ZEROS]))["ids"]
    every = await listed(ready, "")
    for query, found in [
        ("note=%C3%9Cn", [full, zeros]),
        ("employee_id=1", every),
        ("job_id=1", [full, zeros]),
        ("signed_from=2021-07-27T16:02:08.000001Z", every),
        ("signed_before=2021-07-27T16:02:08.000001Z", []),
        ("ended_at_from=2021-01-01T00:00:00Z", [full, zeros]),
        ("balance=0", [zeros]),
        (f"balance={-(2**63)}&balance=0&grade=20&grade=1", [full, zeros]),
        ("salary=0&salary=1.5", [zeros]),
        ("bonus=-12.5", [zeros]),
        ("remote=false", [zeros]),
        ("insured=false", [full]),
        ("starts_on_from=1000-01-02", []),
        ("ends_on_before=9999-12-31", []),
        (f"id={nulls}&id={full}&order=-id", [nulls, full]),
    ]:
        assert await listed(ready, query) == found, query
    assert sorted(await listed(ready, "order=-title")) == every
    refused = await ready.client.get("/contracts?order=salary")
    assert (refused.status_code, "id, -id, title, -title" in refused.text) == (400, True)


async def test_each_type_is_in_files_as_in_pages(ready: Company) -> None:
    await ready.post([FULL, NULLS, BARE, ZEROS])
    rows = (await ready.client.get("/contracts?expand=employee,job")).json()["rows"]
    assert (rows[0]["employee"], rows[0]["job"], rows[1]["job"]) == ("Ana", "Clerk", None)
    url = "/contracts?expand=employee,job"
    lines = await ready.client.get(url, headers={"Accept": "application/x-ndjson"})
    assert [msgspec.json.decode(line) for line in lines.text.splitlines()] == rows
    file = (await ready.client.get(url, headers={"Accept": "text/csv"})).text
    records = list(csv.DictReader(io.StringIO(file, newline=""), strict=True))
    assert records == [{name: text_of(value) for name, value in row.items()} for row in rows]


async def test_the_loader_reads_a_file_of_the_api_back(ready: Company) -> None:
    await ready.post([FULL, NULLS, BARE, ZEROS])
    before = await ready.rows()
    file = (await ready.client.get("/contracts", headers={"Accept": "text/csv"})).text
    for row in before:
        assert (await ready.client.delete(f"/contracts/{row['id']}")).status_code == 200
    finished = await ready.load(**PARENTS, contracts=file)
    assert finished.code == 0, finished.err
    assert await ready.rows() == before


async def test_each_type_can_be_corrected(ready: Company) -> None:
    (key,) = (await ready.post([FULL]))["ids"]
    reply = await ready.client.patch(f"/contracts/{key}", json=CHANGED)
    assert reply.status_code == 200, reply.text
    (row,) = await ready.rows()
    assert reply.json() == row == {"id": key, **FULL, **CHANGED, "salary": "1.50"}
    bad = await ready.client.patch(f"/contracts/{key}", json={"salary": "1.234", "job_id": 77})
    assert codes(bad.json()["failures"][0]) == {("salary", "format"), ("job_id", "not_found")}
    refused = await ready.client.delete("/employees/1")
    assert (refused.status_code, refused.json()["orphans"]) == (409, 1)
