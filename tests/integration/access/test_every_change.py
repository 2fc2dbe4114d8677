"""Every route that changes something: not for other sites, and not for users who may only read."""

from __future__ import annotations

import httpx
import pytest

from service.core.settings import Settings
from tests.conftest import calling
from tests.integration.access.test_cross_site import OTHER_SITES
from tests.support.routes import ENDPOINTS, Endpoint

CHANGES = [endpoint for endpoint in ENDPOINTS if endpoint.method != "GET"]
every_change = pytest.mark.parametrize("endpoint", CHANGES, ids=str)


def test_the_routes_that_change_something_are_known() -> None:
    found = {str(endpoint) for endpoint in CHANGES}
    assert {
        "PATCH /departments/{row_id:int}",
        "DELETE /employees/{row_id:int}",
        "POST /rejects/{reject_id:int}/correction",
        "POST /rejects/{reject_id:int}/dismissal",
        "POST /rejects/corrections",
    } <= found


@every_change
async def test_another_site_changes_nothing(caller: httpx.AsyncClient, endpoint: Endpoint) -> None:
    for headers in OTHER_SITES:
        reply = await caller.request(endpoint.method, endpoint.path(), headers=headers)
        assert reply.status_code == 403
        assert "another site" in reply.json()["detail"]


async def test_a_reader_changes_nothing(several: Settings) -> None:
    async with calling(several) as client:
        client.auth = httpx.BasicAuth("reader", "reader")
        for endpoint in CHANGES:
            if endpoint.template.endswith("/confirm"):  # its role is that of its job
                continue
            reply = await client.request(endpoint.method, endpoint.path())
            assert reply.status_code == 403, endpoint
            assert "role" in reply.json()["detail"]
