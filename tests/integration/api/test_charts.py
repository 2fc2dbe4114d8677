"""Charts of the reports."""

from __future__ import annotations

from xml.etree import ElementTree

import httpx
import pytest

from service.core.database.transactions import Database
from tests.integration.api.test_reports import ABOVE, QUARTERLY, put


@pytest.mark.parametrize("path", [f"{QUARTERLY}.svg", f"{ABOVE}.svg"])
async def test_a_chart_is_readable_without_colour_and_loads_nothing(
    client: httpx.AsyncClient, database: Database, path: str
) -> None:
    hostile = '<script>alert(1)</script> & "Sales"'
    await put(database, [("2021-05-05", 1, 1), ("2021-08-05", 1, 1)], {1: hostile, 2: "Art"})
    reply = await client.get(path)
    assert reply.headers["Content-Type"] == "image/svg+xml"
    root = ElementTree.fromstring(reply.content)
    texts = {element.text for element in root.iter() if element.tag.endswith("}text")}
    assert any(text and text.startswith("<script>alert(1)") for text in texts)
    assert any(text and "2021" in text for text in texts)
    assert ({"Q2", "Q3", "1"} if path.startswith(QUARTERLY) else {"2", "mean 1.0"}) <= texts
    assert not [element for element in root.iter() if element.tag.endswith("}script")]
    assert reply.text.count("://") == reply.text.count('xmlns="http://www.w3.org/2000/svg"') == 1
    assert "url(#fill-0)" in reply.text
    assert reply.content == (await client.get(path)).content


@pytest.mark.parametrize("path", [f"{QUARTERLY}.svg", f"{ABOVE}.svg"])
async def test_a_chart_is_xml_whatever_the_names(
    client: httpx.AsyncClient, database: Database, path: str
) -> None:
    await put(database, [("2021-05-05", 1, 1)], {1: "A\ufffe\uffff", 2: "B"})
    root = ElementTree.fromstring((await client.get(path)).content)
    assert "A\ufffd\ufffd" in {node.text for node in root.iter()}


async def test_a_chart_says_so_if_no_department_is_above_the_mean(
    client: httpx.AsyncClient, database: Database
) -> None:
    await put(database, [("2021-05-05", at, 1) for at in (1, 2, 3) for _ in range(500)])
    reply = await client.get(f"{ABOVE}.svg")
    root = ElementTree.fromstring(reply.content)
    assert "No department is above the mean" in reply.text
    assert "No hires" not in reply.text
    (mark,) = [node for node in root.iter() if node.text == "mean 500.0"]
    assert float(mark.attrib["x"]) <= 900
