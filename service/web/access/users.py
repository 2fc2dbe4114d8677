"""Users: who they are, what they may do, and whether a password is theirs."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

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


class Cost(TypedDict):
    """Parameters of argon2id; memory in KiB."""

    iterations: int
    lanes: int
    memory_cost: int


ARGON2 = Cost(iterations=3, lanes=4, memory_cost=1 << 16)
"""What hashing a plain password takes: as much as the hashes that README shows."""


class User(Struct, frozen=True):
    """A user with the argon2id hash of their password, in PHC form."""

    name: str
    phc: str
    roles: frozenset[Role] = ROLES
    plain: bytes = b""

    @classmethod
    def with_password(cls, name: str, password: str) -> User:
        """A user whose password is known: hashed, so that a look costs what others' cost."""
        hasher = Argon2id(salt=os.urandom(16), length=32, **ARGON2)
        plain = password.encode()
        return cls(name, hasher.derive_phc_encoded(plain), plain=plain)

    def has_plain(self, password: bytes) -> bool:
        """Whether a password that is known is this one: at once, as its reply tells no less."""
        return bool(self.plain) and hmac.compare_digest(password, self.plain)

    def matches(self, password: bytes) -> bool:
        """Whether the password is theirs; slow on purpose."""
        try:
            Argon2id.verify_phc_encoded(password, self.phc)
        except (InvalidKey, ValueError):
            return False
        return True


class TooManyFailures(Exception):
    """Too many wrong passwords: none is looked at for so many seconds."""

    def __init__(self, seconds: int):
        super().__init__(seconds)
        self.seconds = seconds


class Users:
    """All users; right passwords are remembered by keyed digest, attempts are counted."""

    def __init__(self, users: Iterable[User], decoy_key: bytes = b"decoy"):
        """decoy_key: secret, and the same in every worker and after every start."""
        self._users = {user.name: user for user in users}
        self._decoys = _Decoys(list(self._users.values()), decoy_key)
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._attempts: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()
        self._looks: dict[bytes, asyncio.Task[bool]] = {}
        self._hashing = asyncio.Semaphore(2)

    @classmethod
    def of(cls, settings: Settings) -> Users:
        """API_USER and those of API_USERS; SettingsError where there is none."""
        users = list(_of_file(settings.api_users)) if settings.api_users else []
        secret = settings.api_pass + "".join(user.phc for user in users) + settings.api_pass_hash
        if settings.api_pass:
            users.append(User.with_password(settings.api_user, settings.api_pass))
        elif settings.api_pass_hash:
            users.append(User(settings.api_user, settings.api_pass_hash))
        if not users:
            raise SettingsError("API_PASS: set it, or API_PASS_HASH, or API_USERS")
        return cls(users, sha256(secret.encode()).digest())

    async def find(self, name: str, password: bytes, address: str) -> User | None:
        """The user whose password this is; TooManyFailures instead of a look at yet another one."""
        user = self._users.get(name)
        # With the address: who guesses elsewhere finds nothing remembered.
        sent = b"%b\0%b:%b" % (address.encode(), name.encode(), password)
        digest = hmac.digest(self._key, sent, sha256)
        if user and self._is_remembered(digest):
            return user
        # Requests that bring the same password at once share a look: they are one attempt.
        look = self._looks.get(digest)
        if look is None:
            look = self._begin(name, password, address, digest)
        return user if await asyncio.shield(look) else None

    def _begin(self, name: str, password: bytes, address: str, digest: bytes) -> asyncio.Task[bool]:
        """Count an attempt before it is looked at: what comes meanwhile finds it counted."""
        times = self._attempts_of(name, address)
        now = time.monotonic()
        times.append(now)
        _keep(self._attempts, (name, address), times)

        async def look() -> bool:
            try:
                right = await self._is_right(name, password, digest)
            finally:
                del self._looks[digest]
            if right and now in times:
                times.remove(now)
            return right

        task = self._looks[digest] = asyncio.create_task(look())
        return task

    async def _is_right(self, name: str, password: bytes, digest: bytes) -> bool:
        user = self._users.get(name)
        right = user is not None and user.has_plain(password)
        if not right:
            # An unknown user takes as long as a wrong password.
            checked = user or self._decoys.of(name)
            async with self._hashing:
                right = await in_thread(checked.matches, password)
        if user and right:
            _keep(self._remembered, digest, time.monotonic() + REMEMBERED_SECONDS)
        return bool(user and right)

    def _is_remembered(self, digest: bytes) -> bool:
        return self._remembered.get(digest, 0.0) > time.monotonic()

    def _attempts_of(self, name: str, address: str) -> deque[float]:
        """When recent attempts began; TooManyFailures where no more are looked at."""
        times = self._attempts.get((name, address)) or deque()
        while times and times[0] < time.monotonic() - FAILURE_SECONDS:
            times.popleft()
        if len(times) >= FAILURES:
            raise TooManyFailures(int(times[0] + FAILURE_SECONDS - time.monotonic()) + 1)
        return times


class _Decoys:
    """For each unknown name one of the users, always the same one.

    Hashes of API_USERS may take more time or less than others. So an unknown name costs what one
    of the users costs, as a name that is known does, and costs the same again.
    """

    def __init__(self, users: Sequence[User], key: bytes):
        self._users = users
        self._key = key

    def of(self, name: str) -> User:
        number = int.from_bytes(hmac.digest(self._key, name.encode(), sha256))
        return self._users[number % len(self._users)]


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
    return User(name, phc, frozenset(role for role in ROLES if role in named))
