"""Staged restores of a few rows, and a check that they leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from service.core.backups.staged.guard import guarded
from service.core.database.transactions import Database
from tests.support.restores import OURS, make_small


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every restore of more than a few rows is staged, in several chunks."""
    make_small(monkeypatch.setattr)


@pytest.fixture
async def nothing_left(database: Database) -> AsyncIterator[None]:
    """No table, checkpoint or guard of a restore is left."""
    yield
    names = {name for (name,) in await database.fetch("SHOW TABLES")}
    assert names == OURS
    assert await database.fetch("SELECT * FROM loads") == []
    assert await guarded(database) == set()
