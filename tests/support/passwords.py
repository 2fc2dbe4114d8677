"""Users with hashes of a known cost."""

from __future__ import annotations

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from service.web.access.users import Cost, User

SLOW = Cost(iterations=2, lanes=1, memory_cost=1 << 15)
QUICK = Cost(iterations=2, lanes=1, memory_cost=1 << 13)


def costing(name: str, cost: Cost) -> User:
    hasher = Argon2id(salt=b"16 bytes of salt", length=32, **cost)
    return User(name, hasher.derive_phc_encoded(b"right"))


def hashed(password: str) -> str:
    hasher = Argon2id(salt=b"16 bytes of salt", length=32, iterations=1, lanes=1, memory_cost=64)
    return hasher.derive_phc_encoded(password.encode())
