"""Servers for the tests that do them harm."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers
from tests.servers import Server


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A durable server of one's own that can be killed."""
    with servers.running(tmp_path_factory.mktemp("server")) as server:
        yield server
