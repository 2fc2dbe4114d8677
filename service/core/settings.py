"""Settings from environment variables; NAME_FILE reads the value of NAME from a file."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from service.core.database.servers import addresses
from service.core.database.servers.addresses import Address
from service.core.errors import SettingsError

Port = Annotated[int, Meta(ge=1, le=65535, description="a whole number from 1 to 65535")]
Positive = Annotated[int, Meta(ge=1, description="a whole number, at least 1")]
NotNegative = Annotated[int, Meta(ge=0, description="a whole number, at least 0")]
PoolSize = Annotated[int, Meta(ge=2, description="a whole number, at least 2")]
Hours = Annotated[int, Meta(ge=1, le=8784, description="a whole number from 1 to 8784")]
Days = Annotated[int, Meta(ge=0, le=36_600, description="a whole number from 0 to 36600")]
Name = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_$]{1,64}$", description="1 to 64 of A-Z, a-z, 0-9, _ and $")
]
Url = Annotated[
    str, Meta(pattern=r"^(https?://.+)?$", description="a URL that begins with http:// or https://")
]
Level = Annotated[
    Literal["debug", "info", "warning", "error"],
    Meta(description="debug, info, warning or error"),
]
Format = Annotated[Literal["console", "json"], Meta(description="console or json")]
Filled = Annotated[str, Meta(min_length=1)]


PHC = re.compile(
    r"\$argon2id\$v=19\$m=[1-9]\d*,t=[1-9]\d*,p=[1-9]\d*\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{6,}"
)
"""A complete hash of a password, in PHC form."""

OLD_NAMES = {"API_DOWNLOAD_IDLE_TIMEOUT": "API_DOWNLOAD_PATIENCE"}
"""Variables by their new names. The old ones still work, until version 0.3."""
NEEDED = [
    (
        "mysql_read_host",
        "mysql_host",
        "MYSQL_READ_HOST: set MYSQL_HOST, because the embedded database has no replicas",
    ),
    ("api_tls_cert", "api_tls_key", "API_TLS_KEY: set it too, because API_TLS_CERT is set"),
    ("api_tls_key", "api_tls_cert", "API_TLS_CERT: set it too, because API_TLS_KEY is set"),
]
"""(a variable, another one that it needs, the error if that is not set)."""

SECRETS = frozenset({"mysql_password", "api_pass", "api_pass_hash"})
"""Fields whose values no command prints."""

SAMPLE = Path(__file__).parents[2] / "loader" / "sample"
"""The generated files, in a checkout and in an installed package."""


class Size(int):
    """Bytes, written as a number, perhaps with the unit K, M or G: 16G."""

    UNITS: ClassVar = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

    @classmethod
    def parse(cls, text: str) -> Size:
        """A size of at least one byte; ValueError."""
        found = re.fullmatch(r"([1-9][0-9]{0,17})([KMG]?)", text.upper())
        if not found:
            raise ValueError(f"{text[:40]!r} is no size: write bytes, or a number with K, M or G")
        return cls(int(found[1]) * cls.UNITS[found[2]])

    def __str__(self) -> str:
        unit = next(unit for unit in ("G", "M", "K", "") if not self % self.UNITS[unit])
        return f"{self // self.UNITS[unit]}{unit}"


class Settings(Struct, frozen=True, kw_only=True):
    """One field for each variable; `.env.example` documents them."""

    mysql_host: str | None = None
    mysql_read_host: str | None = None
    mysql_port: Port = 3306
    mysql_user: Filled = "hirebase"
    mysql_password: str = ""
    mysql_database: Name = "hirebase"
    mysql_ssl_ca: Path | None = None
    mysql_pool_size: PoolSize = 10  # a migration needs two
    mysql_timeout: Positive = 30
    mysql_wait: NotNegative = 30
    mysql_max_transaction_rows: Positive | None = None
    mysql_max_transaction_bytes: Size | None = None

    api_user: Filled = "admin"
    api_pass: str = ""
    api_pass_hash: str = ""
    api_users: Path | None = None
    api_host: Filled = "127.0.0.1"
    api_port: Port = 8000
    api_tls_cert: Path | None = None
    api_tls_key: Path | None = None
    api_shutdown_delay: NotNegative = 0
    api_max_batches: Positive = 8
    api_download_idle_timeout: Positive = 300
    api_max_upload: Size = Size(16 << 30)

    data_dir: Path = SAMPLE
    rejects_dir: Path = Path("var/rejects")
    backup_dir: Path = Path("var/backups")
    embedded_dir: Path = Path("var/seekdb")

    idempotency_hours: Hours = 24
    rejects_days: Days = 90

    otel_exporter_otlp_endpoint: Url = ""

    log_level: Level = "info"
    log_format: Format = "console"

    @property
    def embedded(self) -> bool:
        """Whether the embedded database is used."""
        return self.mysql_host is None

    @property
    def servers(self) -> list[Address]:
        """(host, port) of each server of MYSQL_HOST, in the order of preference."""
        return addresses.parse(self.mysql_host or "", self.mysql_port)

    @property
    def read_servers(self) -> list[Address]:
        """The same of MYSQL_READ_HOST, which may be empty."""
        return (
            addresses.parse(self.mysql_read_host, self.mysql_port) if self.mysql_read_host else []
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings from an environment; SettingsError names every invalid variable."""
        values: dict[str, Any] = {}
        errors = []
        for field in msgspec.structs.fields(cls):
            try:
                if (value := value_of(field, environment)) is not None:
                    values[field.name] = value
            except ValueError as error:
                errors.append(f"{field.name.upper()}: {error}")
        errors += [text for name, other, text in NEEDED if name in values and other not in values]
        if errors:
            raise SettingsError("\n".join(errors))
        return cls(**values)

    def with_password(self) -> Settings:
        """Add a generated password for the embedded database; other servers require a password."""
        if self.api_pass and self.api_pass_hash:
            raise SettingsError("API_PASS: set it or API_PASS_HASH, not both")
        if self.api_pass or self.api_pass_hash or self.api_users:
            return self
        if not self.embedded:
            raise SettingsError(
                "API_PASS: set it, API_PASS_HASH or API_USERS, because MYSQL_HOST is set"
            )
        return msgspec.structs.replace(self, api_pass=secrets.token_urlsafe(12))


def value_of(field: msgspec.structs.FieldInfo, environment: Mapping[str, str]) -> Any:
    """The value of a variable; None if it is not set. ValueError."""
    name = field.name.upper()
    text = _read(name, environment)
    if not text and name in OLD_NAMES:
        text = _read(OLD_NAMES[name], environment)
    return _convert(field, text) if text else None


def source_of(name: str, environment: Mapping[str, str]) -> str:
    """Where the value of a variable comes from."""
    for one in filter(None, (name, OLD_NAMES.get(name))):
        if file := environment.get(f"{one}_FILE"):
            return f"{one}_FILE={file}"
        if environment.get(one):
            return "environment" if one == name else f"environment ({one})"
    return "default"


def _read(name: str, environment: Mapping[str, str]) -> str:
    file = environment.get(f"{name}_FILE")
    if file and environment.get(name):
        raise ValueError(f"set {name} or {name}_FILE, not both")
    return _content(f"{name}_FILE", Path(file)) if file else environment.get(name, "")


def _content(name: str, file: Path) -> str:
    try:
        return file.read_text("utf-8").rstrip("\n")
    except OSError as error:
        raise ValueError(f"{file} ({name}) cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} ({name}) is not text in UTF-8") from error


def _convert(field: msgspec.structs.FieldInfo, text: str) -> Any:
    if field.name in ("mysql_host", "mysql_read_host"):
        addresses.parse(text, 1)
    if field.name == "api_pass_hash" and not PHC.fullmatch(text):
        raise ValueError("no complete argon2id hash; make one with `hirebase users hash`")
    try:
        return msgspec.convert(text, field.type, strict=False, dec_hook=_decode)
    except msgspec.ValidationError as error:
        wanted = next(_descriptions(field.type), None)
        raise ValueError(f"write {wanted}" if wanted else str(error)) from error


def _descriptions(kind: Any) -> Iterator[str]:
    """What the values of a type are, for people."""
    for part in get_args(kind):
        if isinstance(part, Meta):
            yield str(part.description)
        else:
            yield from _descriptions(part)


def _decode(kind: type, value: str) -> Path | Size:
    return Size.parse(value) if kind is Size else Path(value)
