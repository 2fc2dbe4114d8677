"""Backups of a fourth table bring back each type of field."""

from __future__ import annotations

import io
from typing import Any

import fastavro

from tests.fourth.company import BARE, FULL, NULLS, SHOWN, ZEROS, Company

OTHERS = {
    **dict.fromkeys(("title", "note", "signed_at", "ended_at"), "string"),
    **dict.fromkeys(("employee_id", "job_id", "balance", "grade"), "long"),
    **dict.fromkeys(("salary", "bonus", "starts_on", "ends_on"), "string"),
    **dict.fromkeys(("remote", "insured"), "boolean"),
}


async def test_a_restore_brings_back_each_type(ready: Company) -> None:
    await ready.post([FULL, NULLS, BARE, ZEROS])
    before = await ready.rows()
    content = (await ready.client.get("/avro/backup/contracts")).content
    records: list[Any] = list(fastavro.reader(io.BytesIO(content)))
    assert str(records[0]["salary"]) == FULL["salary"]
    assert str(records[0]["starts_on"]) == FULL["starts_on"]
    assert (records[0]["remote"], records[1]["insured"]) == (True, None)
    verified = await ready.client.post("/avro/verify", content=content)
    assert verified.json()["verified"] is True
    same = await ready.restore(content)
    assert (same["changed"], same["removed"], same["verified"]) == (0, 0, True)
    await ready.post([FULL])
    result = await ready.restore(content, "?mode=merge")
    assert (result["changed"], result["removed"]) == (0, 0)
    result = await ready.restore(content)
    assert (result["restored"], result["removed"], result["verified"]) == (4, 1, True)
    assert await ready.rows() == before


async def test_an_archive_restores_the_table(ready: Company) -> None:
    await ready.post([FULL, NULLS, ZEROS])
    before = await ready.rows()
    content = (await ready.client.get("/avro/backup/all")).content
    (ready.where / "all.zip").write_bytes(content)
    finished = await ready.run("service", "verify", "all.zip")
    assert finished.code == 0, finished.err
    assert "contracts: 3 rows" in finished.out
    await ready.post([FULL])
    finished = await ready.run("service", "restore", "all.zip")
    assert finished.code == 0, finished.err
    assert "table=contracts restored=3 added=0 changed=0 removed=1" in finished.out
    assert await ready.rows() == before


async def test_a_file_of_another_program_can_be_restored(ready: Company) -> None:
    types = {"id": "long", **{name: ["null", kind] for name, kind in OTHERS.items()}}
    rows = [{"id": 5, **SHOWN[3]}, {"id": 6, **SHOWN[1]}]
    result = await ready.restore(file_of(types, rows))
    assert (result["restored"], result["added"], result["verified"]) == (2, 2, False)
    assert await ready.rows() == rows


async def test_a_restore_keeps_parents_that_are_in_use(ready: Company) -> None:
    empty = (await ready.client.get("/avro/backup/employees")).content
    extra = await ready.client.post(
        "/employees",
        json={"name": "Bo", "datetime": "2021-01-01T00:00:00Z", "department_id": 1, "job_id": 1},
    )
    (key,) = extra.json()["ids"]
    await ready.post([FULL | {"employee_id": key}])
    reply = await ready.client.post("/avro/restore/employees", content=empty)
    assert reply.status_code == 409
    assert "contracts" in reply.json()["detail"]
    await ready.restore(file_of({"id": "int", **OTHERS}, []))


def file_of(types: dict[str, Any], rows: list[dict[str, Any]]) -> bytes:
    """A file of another program; types: of its fields."""
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    schema = {"type": "record", "name": "contracts", "fields": fields}
    file = io.BytesIO()
    fastavro.writer(file, fastavro.parse_schema(schema), rows)
    return file.getvalue()
