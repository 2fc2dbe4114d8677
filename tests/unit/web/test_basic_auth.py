"""Reading an Authorization header: credentials or nothing, never an exception."""

from __future__ import annotations

from base64 import b64encode

import pytest

from service.web.access.basic_auth import credentials


def basic(text: str) -> str:
    return b64encode(text.encode()).decode()


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC", "Basic  "])
@pytest.mark.parametrize("pair", ["admin:secret", "admin:", "admin:a:b", "ädmin:pässwörd😀"])
def test_basic_credentials_are_read(scheme: str, pair: str) -> None:
    assert credentials(f"{scheme} {basic(pair)}") == pair.encode()


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Basic",
        "Basic ",
        "Basic =",
        "Basic ====",
        "Basic not-base64!",
        "Basic YWRtaW46c2VjcmV",
        "Basic YWRtaW46c2V\xe9cmV0",
        "Basic YWRtaW46 c2VjcmV0",
        "Bearer YWRtaW46c2VjcmV0",
        "BasicYWRtaW46c2VjcmV0",
        "YWRtaW46c2VjcmV0",
        "Digest username=admin",
    ],
)
def test_anything_else_gives_nothing(header: str) -> None:
    assert credentials(header) == b""
