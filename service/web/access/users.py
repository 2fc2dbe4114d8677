"""Users, their roles, and checking their passwords."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b, sha256
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from msgspec import Struct

from service.core.errors import SettingsError
from service.core.settings import PHC, Settings
from service.core.threads import in_thread

Role = Literal["reader", "writer", "operator"]
ROLES: frozenset[Role] = frozenset(get_args(Role))

REMEMBERED_SECONDS = 60
"""A correct password is accepted without hashing for this long after its last use."""
FAILURES, FAILURE_SECONDS = 10, 60
"""Wrong passwords for a user from an address in this time. More are refused without a check."""
QUEUED, QUEUED_PER_ADDRESS = 64, 16
"""Passwords that wait for hashing, limited so that one address cannot delay the others."""
KEPT = 10_000
"""Entries in memory. The queue admits fewer in FAILURE_SECONDS, so none is evicted too early."""


class Cost(TypedDict):
    """Parameters of argon2id; memory in KiB."""

    iterations: int
    lanes: int
    memory_cost: int


ARGON2 = Cost(iterations=3, lanes=4, memory_cost=1 << 16)
"""For hashing a plain password; the same as in the example in docs/security.md."""


class User(Struct, frozen=True):
    """A user with the argon2id hash of their password, in PHC form."""

    name: str
    phc: str
    roles: frozenset[Role] = ROLES
    plain: bytes = b""

    @classmethod
    def with_password(cls, name: str, password: str) -> User:
        """A user with a plain password. Its hash makes a check cost as much as for others."""
        hasher = Argon2id(salt=os.urandom(16), length=32, **ARGON2)
        plain = password.encode()
        return cls(name, hasher.derive_phc_encoded(plain), plain=plain)

    def has_plain(self, password: bytes) -> bool:
        """Whether this is the plain password. Needs no hashing: the reply reveals the same."""
        return bool(self.plain) and hmac.compare_digest(password, self.plain)

    def matches(self, password: bytes) -> bool:
        """Whether the hash is of this password; slow on purpose."""
        try:
            Argon2id.verify_phc_encoded(password, self.phc)
        except (InvalidKey, ValueError):
            return False
        return True


class TooManyAttempts(Exception):
    """The password is not checked. The client may try again after this many seconds."""

    def __init__(self, reason: str, seconds: int):
        super().__init__(f"{reason} Try again in {seconds} s.")
        self.seconds = seconds


class Users:
    """All users. Correct passwords are remembered by keyed digest, attempts are counted."""

    def __init__(self, users: Iterable[User], decoy_key: bytes = b"decoy"):
        """decoy_key: secret, and the same in every worker and after every start."""
        self._users = {user.name: user for user in users}
        self._decoy_key = decoy_key
        self._key = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._attempts: OrderedDict[bytes, deque[float]] = OrderedDict()
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._queued: Counter[str] = Counter()
        # One at a time: OpenSSL hashes the lanes of a password in threads, and two passwords at
        # once can wait for each other's threads for ever.
        self._hashing = asyncio.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Users:
        """API_USER and the users in API_USERS; SettingsError if there are none."""
        users = list(read_users(settings.api_users)) if settings.api_users else []
        secret = settings.api_pass + "".join(user.phc for user in users) + settings.api_pass_hash
        if settings.api_pass:
            users.append(User.with_password(settings.api_user, settings.api_pass))
        elif settings.api_pass_hash:
            users.append(User(settings.api_user, settings.api_pass_hash))
        if not users:
            raise SettingsError("API_PASS: set it, or API_PASS_HASH, or API_USERS")
        return cls(users, sha256(secret.encode()).digest())

    async def find(self, name: str, password: bytes, address: str) -> User | None:
        """The user with this name and password; TooManyAttempts if it is not checked."""
        user = self._users.get(name)
        # With the address: a client elsewhere cannot find out what is remembered.
        digest = self._digest(b"%b\0%b:%b" % (address.encode(), name.encode(), password))
        if user and self._is_remembered(digest):
            self._remember(digest)
            return user
        if digest not in self._checks:
            network = _network(address)
            client = self._digest(b"%b\0%b" % (network.encode(), name.encode()))
            attempts = self._attempts_of(client)
            if user and user.has_plain(password):
                self._remember(digest)
                return user
            if len(self._checks) >= QUEUED or self._queued[network] >= QUEUED_PER_ADDRESS:
                raise TooManyAttempts("Too many passwords are being checked.", 1)
            _keep(self._attempts, client, attempts)
            self._checks[digest] = self._begin(name, password, network, digest, attempts)
        # Concurrent requests with the same password share a check: they are one attempt.
        return user if await asyncio.shield(self._checks[digest]) else None

    def _begin(
        self, name: str, password: bytes, network: str, digest: bytes, attempts: deque[float]
    ) -> asyncio.Task[bool]:
        """Start a check. It counts as an attempt from now on, so concurrent requests see it."""
        now = time.monotonic()
        attempts.append(now)
        self._queued[network] += 1

        async def check() -> bool:
            try:
                correct = await self._is_correct(name, password)
            finally:
                del self._checks[digest]
                self._queued -= Counter([network])
            if correct:
                self._remember(digest)
                with suppress(ValueError):  # it has expired
                    attempts.remove(now)
            return correct

        return asyncio.create_task(check())

    async def _is_correct(self, name: str, password: bytes) -> bool:
        """Hash the password. For an unknown user this takes as long as for a known one."""
        user = self._users.get(name)
        async with self._hashing:
            matches = await in_thread((user or self.decoy(name)).matches, password)
        return user is not None and matches

    def decoy(self, name: str) -> User:
        """One of the users for an unknown name, always the same one.

        Hashes in API_USERS can differ in cost. An unknown name costs as much as some known name.
        """
        number = int.from_bytes(hmac.digest(self._decoy_key, name.encode(), sha256))
        return list(self._users.values())[number % len(self._users)]

    def _digest(self, text: bytes) -> bytes:
        """Keys of the same length, however long the texts are that clients send."""
        return blake2b(text, key=self._key, digest_size=32).digest()

    def _remember(self, digest: bytes) -> None:
        _keep(self._remembered, digest, time.monotonic() + REMEMBERED_SECONDS)

    def _is_remembered(self, digest: bytes) -> bool:
        return self._remembered.get(digest, 0.0) > time.monotonic()

    def _attempts_of(self, client: bytes) -> deque[float]:
        """The times of recent attempts; TooManyAttempts if there are too many."""
        times = self._attempts.get(client) or deque()
        while times and times[0] < time.monotonic() - FAILURE_SECONDS:
            times.popleft()
        if len(times) >= FAILURES:
            seconds = int(times[0] + FAILURE_SECONDS - time.monotonic()) + 1
            raise TooManyAttempts("Too many wrong passwords.", seconds)
        return times


def _network(address: str) -> str:
    """The network of one client: an IPv6 client has at least a /64."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((int(ip), 64), strict=False))


def _keep(entries: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    """Put an entry last; drop the oldest one if there are too many."""
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > KEPT:
        entries.popitem(last=False)


def read_users(path: Path) -> Iterator[User]:
    """Users from lines `name:role,role:argon2id hash`; SettingsError names a wrong line.

    Blank lines and lines with # are skipped.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SettingsError(f"API_USERS: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"API_USERS: {path} is not text in UTF-8") from error
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield _of_line(line.strip(), number)


def _of_line(line: str, number: int) -> User:
    name, _, rest = line.partition(":")
    roles, _, phc = rest.partition(":")
    named = {role.strip() for role in roles.split(",")}
    if not (name and named <= ROLES and PHC.fullmatch(phc)):
        raise SettingsError(
            f"API_USERS: line {number} is not `name:roles:argon2id hash` with a complete hash; "
            f"roles are {', '.join(sorted(ROLES))}, with commas between"
        )
    return User(name, phc, frozenset(role for role in ROLES if role in named))
