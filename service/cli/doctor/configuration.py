"""Checks the settings: values, sources, names that may be misspelt, credentials, packages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec

from loader.reading.source import printable
from service.cli.doctor.findings import Finding, Setting, error, ok, warning
from service.cli.users import problems_of, warnings_of
from service.core.errors import SettingsError
from service.core.settings import OLD_NAMES, SECRETS, Settings, source_of, value_of
from service.web.access.users import User, read_users

FIELDS = msgspec.structs.fields(Settings)
NAMES = [field.name.upper() for field in FIELDS]
OF_COMPOSE = ("MYSQL_ROOT_PASSWORD", "MYSQL_REPLICATION_PASSWORD")
EXAMPLES = {"mysql_password": "change-me-too", "api_pass": "change-me"}
"""The passwords of .env.example."""
LIKE = 0.86
"""How similar a name is to a setting if it may be a misspelling, as a ratio."""


def listed(environment: Mapping[str, str]) -> list[Setting]:
    """All settings, each with its source."""
    return [
        Setting(name, _shown(field, environment), printable(source_of(name, environment)))
        for name, field in zip(NAMES, FIELDS, strict=True)
    ]


def read(environment: Mapping[str, str]) -> tuple[Settings | None, list[Finding]]:
    """The settings, or None if one cannot be used."""
    misspelt = list(_misspelt(environment))
    try:
        settings = Settings.from_environment(environment)
    except SettingsError as problem:
        lines = without_user(str(problem)).splitlines()
        return None, [*(_wrong("settings", line) for line in lines), *misspelt]
    set_here = sum(source_of(name, environment) != "default" for name in NAMES)
    counted = ok("settings", f"{set_here} are set, {len(NAMES) - set_here} have their default")
    return settings, [counted, *misspelt]


def credentials(settings: Settings) -> list[Finding]:
    """Check who may use the API."""
    try:
        generated = settings.with_password() != settings
        users = list(read_users(settings.api_users)) if settings.api_users else []
    except SettingsError as problem:
        return [_wrong("users", str(problem))]
    findings = [*_file_of_users(settings.api_users, users), *_example_passwords(settings)]
    return findings or [ok("users", f"{_own_user(settings, generated)}{len(users)} in API_USERS")]


def packages(settings: Settings) -> Iterator[Finding]:
    """Check the packages that only some settings need."""
    needs = {
        "embedded": (settings.embedded, "pylibseekdb", "Without MYSQL_HOST"),
        "otel": (
            bool(settings.otel_exporter_otlp_endpoint),
            "opentelemetry",
            "With OTEL_EXPORTER_OTLP_ENDPOINT",
        ),
    }
    for extra, (is_needed, module, when) in needs.items():
        if is_needed and find_spec(module) is None:
            yield error(
                "packages",
                f"{when}, hirebase needs {module}, which is not installed.",
                f"Install hirebase[{extra}].",
            )


def without_user(text: str) -> str:
    """A text without the user and the password of URLs in it."""
    return re.sub(r"[^\s'\"]+@", "…@", text)


def _own_user(settings: Settings, generated: bool) -> str:
    """API_USER, which is no user without a password."""
    if generated:
        return f"{settings.api_user} with a generated password, and "
    return f"{settings.api_user}, and " if settings.api_pass or settings.api_pass_hash else ""


def _file_of_users(path: Path | None, users: Sequence[User]) -> Iterator[Finding]:
    then = "Then run: hirebase users check"
    if path:
        yield from (error("users", text, then) for text in problems_of(path, users))
        yield from (warning("users", text, then) for text in warnings_of(path))


def _example_passwords(settings: Settings) -> Iterator[Finding]:
    for field, example in EXAMPLES.items():
        if getattr(settings, field) == example:
            name = field.upper()
            yield warning("users", f"{name} is the password of .env.example.", f"Change {name}.")


def _wrong(check: str, line: str) -> Finding:
    return error(check, line, f"Correct {line.partition(':')[0]}: docs/configuration.md lists it.")


def _misspelt(environment: Mapping[str, str]) -> Iterator[Finding]:
    known = {*NAMES, *OLD_NAMES.values(), *OF_COMPOSE}
    for name in sorted(environment):
        plain = name.removesuffix("_FILE")
        if plain not in known and (like := difflib.get_close_matches(plain, NAMES, 1, LIKE)):
            yield warning(
                "settings", f"{name} is no setting and is ignored.", f"Did you mean {like[0]}?"
            )


def _shown(field: msgspec.structs.FieldInfo, environment: Mapping[str, str]) -> str | None:
    try:
        value = value_of(field, environment)
    except ValueError:
        return "(cannot be used)"
    value = field.default if value is None else value
    if value in (None, ""):
        return None
    return "(set)" if field.name in SECRETS else printable(without_user(str(value)))
