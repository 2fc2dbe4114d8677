"""The public contract: the OpenAPI document without its texts equals a stored copy.

After an intended change, `python -m tests.integration.openapi.test_contract` rewrites the copy.
"""

from __future__ import annotations

import json

import pytest

from service.core.settings import Settings
from service.web.app import create_app
from tests.support.contract import Contract, demands, promises, reduced
from tests.support.program import ROOT
from tests.support.releases import RELEASES, Release

STORED = ROOT / "tests" / "fixtures" / "openapi.json"


def contract() -> Contract:
    """That of this program."""
    document = create_app(Settings(api_pass="x")).openapi_schema.to_schema()
    return reduced(json.loads(json.dumps(document)))


def test_the_contract_is_the_stored_one() -> None:
    assert contract() == json.loads(STORED.read_text("utf-8"))


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_what_a_released_version_promised_is_kept(release: Release) -> None:
    """A change that breaks it needs an exception here, and "Changed contract" in the CHANGELOG."""
    assert promises(release.contract) - promises(contract()) == set()


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.version)
def test_a_client_of_a_released_version_sends_enough(release: Release) -> None:
    paths = release.contract["paths"]
    routes = {f"{method.upper()} {path}" for path in paths for method in paths[path]}
    new = demands(contract()) - demands(release.contract)
    assert {one for one in new if one.partition(" needs ")[0] in routes} == set()


if __name__ == "__main__":
    STORED.write_text(f"{json.dumps(contract(), indent=1, sort_keys=True)}\n", "utf-8")
