"""The page that shows the OpenAPI document."""

from __future__ import annotations

import re

import pytest
from litestar import Litestar
from litestar.testing import AsyncTestClient

from service.web.openapi.spec import ASSETS

Client = AsyncTestClient[Litestar]


@pytest.mark.parametrize(
    "path", ["/schema", "/schema/", "/schema/openapi.json", "/schema/nonsense"]
)
async def test_the_document_is_not_public(client: Client, path: str) -> None:
    assert (await client.get(path, auth=("admin", "wrong"))).status_code == 401


async def test_the_page_loads_nothing_from_other_servers(client: Client) -> None:
    page = (await client.get("/schema")).text
    loaded = re.findall(r"(?:src|href)=[\"']([^\"']+)", page)
    assert sorted(loaded) == sorted(f"/schema/assets/{name}" for name in ASSETS)
    assert "://" not in page
    for path in loaded:
        assert (await client.get(path)).status_code == 200
    assert (await client.get(loaded[0], auth=("admin", "wrong"))).status_code == 401


async def test_the_style_sheet_loads_nothing_from_other_servers(client: Client) -> None:
    style = (await client.get("/schema/assets/swagger-ui.css")).text
    assert set(re.findall(r"url\([\"']?(\w+):", style)) == {"data"}
    assert "@import" not in style


@pytest.mark.parametrize("path", ["/schema/nonsense", "/schema/assets/index.html"])
async def test_an_unknown_file_is_a_problem(client: Client, path: str) -> None:
    reply = await client.get(path)
    assert reply.status_code == 404
    assert reply.headers["Content-Type"] == "application/problem+json"
