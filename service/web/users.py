"""Users: who they are, what they may do, and whether a password is theirs."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Struct

from service.core.errors import SettingsError
from service.core.settings import Settings
from service.core.threads import in_thread

Role = Literal["reader", "writer", "operator"]
ROLES: frozenset[Role] = frozenset(get_args(Role))

REMEMBERED_SECONDS = 60
"""A password that was right is taken without hashing it again for so long."""
FAILURES, FAILURE_SECONDS = 10, 60
"""So many wrong passwords for a user from an address in so many seconds, then none is looked at."""
KEPT = 10_000
"""Entries in memory, whoever sends how much."""


class User(Struct, frozen=True):
    """A user with a password, plain or as an argon2id hash in PHC form."""

    name: str
    password: str
    roles: frozenset[Role] = ROLES
    hashed: bool = False

    def matches(self, password: bytes) -> bool:
        """Whether the password is theirs; slow on purpose where it is hashed."""
        if not self.hashed:
            return hmac.compare_digest(password, self.password.encode())
        try:
            Argon2id.verify_phc_encoded(password, self.password)
        except (InvalidKey, ValueError):
            return False
        return True


class TooManyFailures(Exception):
    """Too many wrong passwords: none is looked at for so many seconds."""

    def __init__(self, seconds: int):
        super().__init__(seconds)
        self.seconds = seconds


class Users:
    """All users; passwords that were right are remembered by keyed digest, wrong ones counted."""

    def __init__(self, users: Iterable[User]):
        self._users = {user.name: user for user in users}
        self._decoy = next(iter(self._users.values()))
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._hashing = asyncio.Semaphore(2)

    @classmethod
    def of(cls, settings: Settings) -> Users:
        """API_USER and those of API_USERS; SettingsError where there is none."""
        users = list(_of_file(settings.api_users)) if settings.api_users else []
        if settings.api_pass:
            users.append(User(settings.api_user, settings.api_pass))
        elif settings.api_pass_hash:
            users.append(User(settings.api_user, settings.api_pass_hash, hashed=True))
        if not users:
            raise SettingsError("API_PASS: set it, or API_PASS_HASH, or API_USERS")
        return cls(users)

    async def find(self, name: str, password: bytes, address: str) -> User | None:
        """The user whose password this is; TooManyFailures instead of a look at yet another one."""
        user = self._users.get(name)
        digest = hmac.digest(self._key, name.encode() + b"\0" + password, sha256)
        if user and self._is_remembered(digest):
            return user
        self._refuse_guessing(name, address)
        # An unknown user takes as long as a wrong password.
        if await self._matches(user or self._decoy, password) and user:
            self._failures.pop((name, address), None)
            _keep(self._remembered, digest, time.monotonic() + REMEMBERED_SECONDS)
            return user
        self._count_failure(name, address)
        return None

    async def _matches(self, user: User, password: bytes) -> bool:
        if not user.hashed:
            return user.matches(password)
        async with self._hashing:
            return await in_thread(user.matches, password)

    def _is_remembered(self, digest: bytes) -> bool:
        return self._remembered.get(digest, 0.0) > time.monotonic()

    def _refuse_guessing(self, name: str, address: str) -> None:
        times = self._failures.get((name, address), deque())
        while times and times[0] < time.monotonic() - FAILURE_SECONDS:
            times.popleft()
        if len(times) >= FAILURES:
            raise TooManyFailures(int(times[0] + FAILURE_SECONDS - time.monotonic()) + 1)

    def _count_failure(self, name: str, address: str) -> None:
        times = self._failures.get((name, address)) or deque(maxlen=FAILURES)
        times.append(time.monotonic())
        _keep(self._failures, (name, address), times)


def _keep(entries: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    """Put an entry last, and let the oldest go where there are too many."""
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > KEPT:
        entries.popitem(last=False)


def _of_file(path: Path) -> Iterator[User]:
    """Users of a file of lines `name:role,role:argon2id hash`; blank lines and # do not count."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"API_USERS: {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield _of_line(line.strip(), number)


def _of_line(line: str, number: int) -> User:
    name, _, rest = line.partition(":")
    roles, _, phc = rest.partition(":")
    named = {role.strip() for role in roles.split(",")}
    if not (name and named <= ROLES and phc.startswith("$argon2id$")):
        raise SettingsError(
            f"API_USERS: line {number} is not `name:roles:argon2id hash`; "
            f"roles are {', '.join(sorted(ROLES))}, with commas between"
        )
    return User(name, phc, frozenset(role for role in ROLES if role in named), hashed=True)
