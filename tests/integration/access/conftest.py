"""Users of each role."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from service.core.settings import Settings
from service.web.access.users import User
from tests.support.passwords import hashed


@pytest.fixture
def several(migrated: Settings, tmp_path: Path) -> Settings:
    """Settings with a user of each role, password and name the same, beside API_USER."""
    file = tmp_path / "users"
    roles = ("reader", "writer", "operator", "reader,writer")
    lines = [f"{role.replace(',', '-')}:{role}:{hashed(role.replace(',', '-'))}" for role in roles]
    file.write_text("# who may do what\n\n" + "\n".join(lines) + "\n")
    return msgspec.structs.replace(migrated, api_users=file)


@pytest.fixture
def hashed_passwords(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All passwords that are hashed in the test."""
    hash_and_compare, seen = User.matches, list[bytes]()

    def matches(user: User, password: bytes) -> bool:
        seen.append(password)
        return hash_and_compare(user, password)

    monkeypatch.setattr(User, "matches", matches)
    return seen
