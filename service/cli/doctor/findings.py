"""Findings: what a check found, and what to do about it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

CERTIFICATE_DAYS = 30
"""A certificate that ends sooner is a warning."""

Status = Literal["ok", "warning", "error", "skipped"]


class Finding(Struct, frozen=True):
    """The result of a check. An error stops the service or loses data; a warning may do so later.

    skipped: the check was not possible, because of an error before it.
    """

    check: str
    status: Status
    text: str
    remedy: str = ""


class Setting(Struct, frozen=True):
    """A setting as it is shown: a secret only as `(set)`; source: where the value comes from."""

    name: str
    value: str | None
    source: str


class Report(Struct, frozen=True):
    """Everything that doctor found."""

    program: str
    python: str
    healthy: bool
    settings: list[Setting]
    findings: list[Finding]


def ok(check: str, text: str) -> Finding:
    return Finding(check, "ok", text)


def warning(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, "warning", text, remedy)


def error(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, "error", text, remedy)


def skipped(check: str, text: str) -> Finding:
    return Finding(check, "skipped", text)


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
