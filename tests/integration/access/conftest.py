"""Passwords that are hashed."""

from __future__ import annotations

import pytest

from service.web.access.users import User


@pytest.fixture
def hashed_passwords(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All passwords that are hashed in the test."""
    hash_and_compare, seen = User.matches, list[bytes]()

    def matches(user: User, password: bytes) -> bool:
        seen.append(password)
        return hash_and_compare(user, password)

    monkeypatch.setattr(User, "matches", matches)
    return seen
