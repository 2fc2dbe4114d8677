"""An odd value in a field rejects only its own row."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from httpx import AsyncClient

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.rules import field_types, fields
from service.core.rules.avro_records import validate
from service.core.tables import by_name
from tests.support.csv_files import Folder
from tests.support.hires import codes, count, hire, names

HIRES = by_name("hired_employees")
MOMENT = "2021-01-01T00:00:00Z"
ODD = [f"{MOMENT}\n{MOMENT}", f"{MOMENT}\r\n{MOMENT}", f"{MOMENT}\t{MOMENT}", "\n", "x\x00", "1\n1"]
FAULT = "2021-01-01T00:00:00+13:37"
COLUMNS = ("name", "datetime", "department_id", "job_id")


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


FORMATS: dict[str, Callable[[Any], bytes]] = {
    "application/json": msgspec.json.encode,
    "application/x-ndjson": lambda rows: b"\n".join(map(msgspec.json.encode, rows)),
    "application/msgpack": msgspec.msgpack.encode,
    "text/csv": as_csv,
}


def quoted(number: int, moment: str) -> str:
    return f'{number},"Ana {number}","{moment}",1,1'


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment whose validation raises an unexpected error."""
    read = fields.read_instant

    def failing(text: str, **options: Any) -> Any:
        if text == FAULT:
            raise ZeroDivisionError
        return read(text, **options)

    monkeypatch.setattr(fields, "read_instant", failing)
    monkeypatch.setattr(field_types, "read_instant", failing)


async def post(client: AsyncClient, kind: str, moments: list[str]) -> dict[str, Any]:
    body = FORMATS[kind]([hire(datetime=moment) for moment in moments])
    reply = await client.post("/employees", content=body, headers={"Content-Type": kind})
    assert reply.status_code in (207, 422), reply.text
    verdict: dict[str, Any] = reply.json()
    return verdict


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", FORMATS)
async def test_an_odd_value_rejects_only_its_row(
    client: AsyncClient, parents: None, kind: str, odd: str
) -> None:
    for moments in ([odd], [MOMENT, odd, MOMENT]):
        verdict = await post(client, kind, moments)
        assert [one["index"] for one in verdict["failures"]] == [moments.index(odd)]
        assert codes(verdict["failures"][0]) == {("datetime", "format")} or not odd.strip()
        assert verdict["inserted"] == len(moments) - 1


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("dry_run", [True, False])
async def test_an_odd_value_does_not_stop_a_load(
    database: Database, folder: Folder, dry_run: bool, odd: str
) -> None:
    lines = [quoted(at, moment) for at, moment in enumerate([MOMENT, odd, MOMENT], 1)]
    (folder.path / "hired_employees.csv").write_text("\n".join(lines), newline="")
    *_, summary = await load(database, folder.options(dry_run=dry_run))
    assert (summary.counts.added, summary.rejected) == (2, 1)
    assert sorted(await names(database)) == ([] if dry_run else [1, 3])


@pytest.mark.parametrize("kind", FORMATS)
async def test_a_fault_in_validation_rejects_only_its_row(
    client: AsyncClient, parents: None, kind: str, fault: None, caplog: pytest.LogCaptureFixture
) -> None:
    verdict = await post(client, kind, [MOMENT, FAULT, "x", MOMENT])
    assert [(one["index"], codes(one)) for one in verdict["failures"]] == [
        (1, {(None, "malformed")}),
        (2, {("datetime", "format")}),
    ]
    assert verdict["inserted"] == 2
    assert "could not be validated" in caplog.text


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_fault_in_validation_does_not_stop_a_load(
    database: Database, folder: Folder, fault: None, dry_run: bool
) -> None:
    folder.write(hired_employees=[quoted(1, MOMENT), quoted(2, FAULT), quoted(3, MOMENT)])
    *_, summary = await load(database, folder.options(dry_run=dry_run))
    assert (summary.counts.added, summary.codes) == (2, {"malformed": 1})
    if not dry_run:
        assert await count(database, "rejects") == 1


def test_a_fault_in_validation_rejects_only_its_avro_record(fault: None) -> None:
    records = [{"id": at, **hire(datetime=text)} for at, text in enumerate([MOMENT, FAULT], 1)]
    validated = validate(HIRES, records)
    assert [row[0] for row in validated.rows] == [1]
    assert [(one.position, one.errors) for one in validated.rejects] == [
        (1, [fields.NOT_VALIDATED])
    ]
