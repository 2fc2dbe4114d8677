"""Rows of the fourth table, valid and invalid, in each format; and the program with that table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tests.support import program

FULL: dict[str, Any] = {
    "title": 'O\'Neill "x" \\ 50 %s',
    "note": "Ünï 😀",
    "employee_id": 1,
    "job_id": 1,
    "signed_at": "2021-07-27T16:02:08.000001Z",
    "ended_at": "9999-12-31T23:59:59.999999Z",
    "balance": -(2**63),
    "grade": 20,
    "salary": "-99999999.99",
    "bonus": "0.0001",
    "remote": True,
    "insured": False,
    "starts_on": "1000-01-01",
    "ends_on": "9999-12-31",
}
OPTIONAL = {"note", "job_id", "ended_at", "grade", "bonus", "insured", "ends_on"}
NULLS = FULL | dict.fromkeys(OPTIONAL)
BARE = {name: value for name, value in FULL.items() if name not in OPTIONAL}
ZEROS = FULL | {"balance": 0, "salary": "0", "bonus": "-12.5", "remote": False, "insured": True}
CHANGED = dict.fromkeys(OPTIONAL) | {"title": "x", "remote": False, "salary": "1.5", "balance": 0}
SHOWN = [FULL, NULLS, NULLS, ZEROS | {"salary": "0.00", "bonus": "-12.5000"}]
"""What the service returns for FULL, NULLS, BARE and ZEROS."""

BAD: list[tuple[str, Any, str]] = [
    ("balance", 2**63, "out_of_range"),
    ("balance", -(2**63) - 1, "out_of_range"),
    ("grade", 0, "out_of_range"),
    ("grade", 21, "out_of_range"),
    ("grade", -3, "out_of_range"),
    ("salary", "100000000", "out_of_range"),
    ("salary", "1.234", "format"),
    ("salary", "1e3", "format"),
    ("salary", "01", "format"),
    ("salary", "+1", "format"),
    ("salary", "1.00\n1.00", "format"),
    ("starts_on", "2021-02-30", "format"),
    ("starts_on", "27.7.2021", "format"),
    ("starts_on", "0999-12-31", "out_of_range"),
    ("starts_on", "2021-01-01\n2021-01-01", "format"),
    ("ends_on", "2021-1-1", "format"),
    ("ended_at", "2021-07-27T16:02:08", "format"),
    ("note", "x" * 256, "too_long"),
    ("note", "a\x00b", "control_character"),
    ("remote", "yes", "type"),
    ("insured", "1", "type"),
    ("job_id", 77, "not_found"),
    ("employee_id", 77, "not_found"),
]


def text_of(value: Any) -> str:
    """A value as CSV text."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode() if isinstance(value, bool) else str(value)


def as_csv(rows: list[dict[str, Any]], names: list[str] | None = None) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    names = names or list(FULL)
    writer.writerow(names)
    writer.writerows([text_of(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode()


def as_ndjson(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(map(msgspec.json.encode, rows))


FORMATS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "application/json": msgspec.json.encode,
    "application/x-ndjson": as_ndjson,
    "application/msgpack": msgspec.msgpack.encode,
    "text/csv": as_csv,
}
PARENTS = {
    "departments": "1,Sales\n",
    "jobs": "1,Clerk\n",
    "hired_employees": "1,Ana,2021-01-01T00:00:00Z,1,1\n",
}


class Company:
    """The program with a fourth table: its folder, its settings, and a client of its service."""

    def __init__(self, where: Path, variables: dict[str, str], client: httpx.AsyncClient):
        self.where, self.variables, self.client = where, variables, client
        self.data = where / "data"

    async def run(self, *arguments: str) -> program.Ended:
        return await program.run(*arguments, where=str(self.where), **self.variables)

    async def load(self, *options: str, **files: str) -> program.Ended:
        """Write these files into a folder and load it."""
        self.data.mkdir(exist_ok=True)
        for file in self.data.iterdir():
            file.unlink()
        for name, text in files.items():
            (self.data / f"{name}.csv").write_text(text, newline="")
        return await self.run("loader", "--data-dir", str(self.data), *options)

    async def post(self, rows: list[dict[str, Any]], kind: str = "application/json") -> Any:
        reply = await self.client.post(
            "/contracts", content=FORMATS[kind](rows), headers={"Content-Type": kind}
        )
        assert reply.status_code < 500, reply.text
        return reply.json()

    async def rows(self) -> list[dict[str, Any]]:
        reply = await self.client.get("/contracts")
        assert reply.status_code == 200, reply.text
        return list(reply.json()["rows"])

    async def restore(self, content: bytes, query: str = "") -> Any:
        reply = await self.client.post(f"/avro/restore/contracts{query}", content=content)
        assert reply.status_code == 200, reply.text
        return reply.json()
