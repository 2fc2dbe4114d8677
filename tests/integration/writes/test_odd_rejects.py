"""Rejects with any content: every way to see one, to correct it and to take it out works."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.console import HTML
from tests.support.lists import as_csv, as_lines

Client = httpx.AsyncClient
HALF = r'{"job": "\ud83d"}'
ODD = [
    HALF,
    r'{"job": "a", "\udc00": 1}',
    r'{"job": ["\ud83d", {"\ud83d": "\ud83d"}]}',
    '{"job": 1.5}',
    '{"job": 1e400, "other": -0.0}',
    '{"job": 1e9999999999999999999}',
    f'{{"job": {"9" * 4200}}}',
    '{"job": ' + "[" * 400 + "]" * 400 + "}",
    r'{"job": "\u0000\r\n\u2028<script>alert(1)</script>"}',
    "{\r}",
    "null",
    "[]",
    '"text"',
]


async def rejected(api: Client, record: str) -> int:
    """The id of the reject of a record."""
    reply = await api.post("/jobs", content=f"[{record}]".encode())
    assert (reply.status_code, reply.json()["failed"]) == (422, 1), reply.text
    return int((await api.get("/rejects?limit=1000")).json()["rows"][-1]["id"])


@pytest.mark.parametrize("record", ODD)
async def test_an_odd_record_can_be_seen_and_taken_out(api: Client, record: str) -> None:
    key = await rejected(api, record)
    listed = (await api.get("/rejects")).json()["rows"]
    assert [row["id"] for row in listed] == [key]
    assert (await api.get(f"/rejects/{key}")).json()["errors"] == listed[0]["errors"]
    page = await api.get("/console/rejects", headers=HTML)
    assert (page.status_code, f'id="reject-{key}"' in page.text) == (200, True)
    assert "<script>alert" not in page.text
    assert await as_lines(api, "/rejects") == listed
    assert [row["record"] for row in await as_csv(api, "/rejects")] == [listed[0]["record"]]


@pytest.mark.parametrize("body", ODD)
async def test_an_odd_correction_is_refused_with_its_errors(api: Client, body: str) -> None:
    """With an id and without, as posted rows and rows of files have them."""
    key = await rejected(api, HALF)
    reply = await api.post(f"/rejects/{key}/correction", content=body.encode())
    assert reply.status_code == (422 if body.startswith("{") or body == "[]" else 400), reply.text
    (reject,) = (await api.get("/rejects")).json()["rows"]
    assert reject["state"] == "open"


async def test_half_a_character_is_mended_as_text(api: Client) -> None:
    """It has no fields, because a form could not send it back."""
    key = await rejected(api, HALF)
    page = (await api.get("/console/rejects", headers=HTML)).text
    assert "The record in JSON" in page
    done = await api.post(f"/rejects/{key}/correction", content=rb'{"job": "\ud83d\ude00"}')
    assert done.status_code == 201, done.text
    assert (await api.get(f"/jobs/{done.json()['id']}")).json()["job"] == "😀"


@pytest.mark.parametrize("value", ["1.5", "1.50", "1e400", "-0.0", '"1.5"', "true", "12", "[1.5]"])
async def test_a_rule_finds_the_value_that_was_sent_and_no_other(api: Client, value: str) -> None:
    values = ["1.5", "1.50", "1e400", "-0.0", '"1.5"', "true", "12", "[1.5]", r'"\ud83d"']
    for one in values:
        await api.post("/departments", content=f'{{"department": {one}, "x": 1}}'.encode())
    place = {"table": "departments", "source": "api", "origin": "POST /departments"}
    rule = json.dumps({**place, "field": "department", "code": "type"})
    body = f'{rule[:-1]}, "from": {value}, "to": "Law"}}'.encode()
    reply = await api.post("/rejects/corrections?dry_run=true", content=body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["matched"] == int(value != '"1.5"')


json_texts = st.recursive(
    st.sampled_from(["null", "true", "1", "-1.5", "1e5", r'"\ud83d"', r'"\udc00a"', r'"\u0000"'])
    | st.text(max_size=5).map(json.dumps),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda some: f"[{','.join(some)}]")
        | st.dictionaries(
            st.sampled_from(['"job"', '"id"', r'"\ud83d"', '"x"']), inner, max_size=3
        ).map(lambda some: "{" + ",".join(f"{key}:{one}" for key, one in some.items()) + "}")
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(record=json_texts, correction=json_texts)
async def test_no_json_is_an_error_of_the_service(
    api: Client, record: str, correction: str
) -> None:
    posted = await api.post("/jobs", content=f"[{record}]".encode())
    replies: list[httpx.Response] = [posted]
    if posted.json()["failed"]:
        key = (await api.get("/rejects?limit=1000")).json()["rows"][-1]["id"]
        replies += [
            await api.get(f"/rejects/{key}"),
            await api.get("/console/rejects", headers=HTML),
            await api.post(f"/rejects/{key}/correction", content=correction.encode()),
        ]
    assert [reply.status_code for reply in replies if reply.status_code >= 500] == []
    headers: dict[str, Any] = {"Accept": "text/csv"}
    assert (await api.get("/rejects?formulas=escape", headers=headers)).status_code == 200
