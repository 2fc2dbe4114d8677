"""Servers as MYSQL_HOST names them: `host`, `host:port`, an IPv6 address, `[IPv6 address]:port`."""

from __future__ import annotations

import ipaddress
import re

Server = tuple[str, int]

_entry = re.compile(r"(?:\[(?P<address>[^][]+)\]|(?P<name>[\w.-]+))(?::(?P<port>[1-9][0-9]{0,4}))?")
MAX_PORT = 65535
FORMS = (
    f"write host, host:port, an IPv6 address or [IPv6 address]:port, with a port of 1 to {MAX_PORT}"
)


def parse(text: str, port: int) -> list[Server]:
    """(host, port) of each entry of a list with commas; ValueError names the one that is wrong.

    port: of entries that have none of their own.
    """
    entries = [entry.strip() for entry in text.split(",")]
    servers = [_server(entry, port) for entry in entries]
    for number, (entry, server) in enumerate(zip(entries, servers, strict=True), 1):
        if server is None:
            what = f", {entry!r}, names no server" if entry else " is empty"
            raise ValueError(f"entry {number}{what}; {FORMS}")
    return [server for server in servers if server]


def written(host: str, port: int) -> str:
    """A server as `parse` reads it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _server(entry: str, default: int) -> Server | None:
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
    return text.isprintable() and " " not in text  # a zone may hold anything


def _is_name(text: str) -> bool:
    try:
        # As the resolver does it: labels of 1 to 63 characters.
        text.encode("idna")
    except UnicodeError:
        return False
    return True
