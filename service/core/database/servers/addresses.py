"""Parses MYSQL_HOST: `host`, `host:port`, an IPv6 address or `[IPv6 address]:port`."""

from __future__ import annotations

import ipaddress
import re

Address = tuple[str, int]

_entry = re.compile(r"(?:\[(?P<address>[^][]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[1-9][0-9]{0,4}))?")
MAX_PORT = 65535
FORMS = (
    f"write host, host:port, an IPv6 address or [IPv6 address]:port, with a port of 1 to {MAX_PORT}"
)


def parse(text: str, port: int) -> list[Address]:
    """(host, port) of each entry of a comma-separated list; ValueError names the invalid entry.

    port: the port of entries without one.
    """
    entries = [entry.strip() for entry in text.split(",")]
    servers = [_address(entry, port) for entry in entries]
    for number, (entry, server) in enumerate(zip(entries, servers, strict=True), 1):
        if server is None:
            problem = f", {entry!r}, is not a server" if entry else " is empty"
            raise ValueError(f"entry {number}{problem}; {FORMS}")
    return [server for server in servers if server]


def format_address(host: str, port: int) -> str:
    """The text of an address, as `parse` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(entry: str, default: int) -> Address | None:
    if _is_ipv6(entry):
        return entry, default
    match = _entry.fullmatch(entry)
    if match is None:
        return None
    address, name, port = match["address"], match["name"], int(match["port"] or default)
    is_host = _is_ipv6(address) if address else _is_name(name)
    return (address or name, port) if is_host and port <= MAX_PORT else None


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return text.isprintable() and " " not in text  # IPv6Address accepts any zone


def _is_name(text: str) -> bool:
    try:
        # The resolver encodes names like this: labels have 1 to 63 characters.
        text.encode("idna")
    except UnicodeError:
        return False
    return True
