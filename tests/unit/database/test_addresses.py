"""MYSQL_HOST: valid lists are read as written, and invalid entries are refused."""

from __future__ import annotations

import string
from ipaddress import IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.core.database.servers import addresses
from service.core.errors import SettingsError
from service.core.settings import Settings

LABEL = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=63)
NAMES = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
PORTS = st.integers(1, 65535)
HOSTS = st.one_of(NAMES, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
LISTS = st.lists(st.tuples(HOSTS, PORTS), min_size=1, max_size=5)
SPACES = st.sampled_from(["", " ", "  "])


@given(LISTS, SPACES)
@example([("::1", 3307), ("fe80::1%eth0", 1), ("db-1.example.com.", 65535)], " ")
def test_formatted_addresses_are_parsed_unchanged(
    servers: list[tuple[str, int]], space: str
) -> None:
    text = f"{space},{space}".join(addresses.format_address(host, port) for host, port in servers)
    assert Settings.from_environment({"MYSQL_HOST": space + text + space}).servers == servers


@given(st.lists(HOSTS, min_size=1, max_size=5), PORTS)
def test_the_default_port_is_mysql_port(hosts: list[str], port: int) -> None:
    environment = {"MYSQL_HOST": ",".join(hosts), "MYSQL_PORT": str(port)}
    assert Settings.from_environment(environment).servers == [(host, port) for host in hosts]


@given(st.text(max_size=20).filter(str.strip))
@example("[::1]")
@example("::1")
def test_every_accepted_address_can_be_formatted(text: str) -> None:
    try:
        read = Settings(mysql_host=text).servers
    except ValueError:
        return
    assert addresses.parse(",".join(addresses.format_address(*one) for one in read), 1) == read
    for host, port in read:
        assert 1 <= port <= 65535
        assert host == host.strip() != ""
        assert IPv6Address(host) if ":" in host else host.encode("idna")


BAD = [
    "a:99999",
    "a:0",
    "a:65536",
    "a:0x1",
    "a:",
    "a:-1",
    "a: 1",
    "a:1:2",
    "a:٣",
    "a b",
    ":3306",
    "[::1",
    "::1]",
    "[::1]3307",
    "[::1]:",
    "[::1]:0",
    "[]:3306",
    "[a]:3306",
    "[127.0.0.1]:3306",
    "[[::1]]",
    ":::",
    "1::2::3",
    "fe80::1%a b",
    "mysql://a",
    "user@a",
    "a/b",
    "a..b",
    "." * 3,
    "x" * 64,
]


@pytest.mark.parametrize("entry", BAD)
@pytest.mark.parametrize("place", ["{}", "good,{}", "{} , good:1", "good,[::1]:3307,{}"])
def test_the_error_names_the_invalid_entry(entry: str, place: str) -> None:
    text = place.format(entry)
    number = place[: place.index("{}")].count(",") + 1
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"MYSQL_HOST": text})
    assert str(caught.value).startswith(f"MYSQL_HOST: entry {number}, {entry!r}, ")
    assert "[IPv6 address]:port" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "number"),
    [(",", 1), ("a,", 2), (",a", 1), ("a,,b", 2), ("a, ,b", 2), (" ", 1), ("a:1,b:2,", 3)],
)
def test_an_empty_entry_is_refused(text: str, number: int) -> None:
    with pytest.raises(SettingsError, match=rf"^MYSQL_HOST: entry {number} is empty; "):
        Settings.from_environment({"MYSQL_HOST": text})


def test_the_error_is_reported_with_those_of_other_variables() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({"MYSQL_HOST": "a,", "MYSQL_PORT": "x", "LOG_LEVEL": "loud"})
    names = [line.partition(":")[0] for line in str(caught.value).splitlines()]
    assert names == ["MYSQL_HOST", "MYSQL_PORT", "LOG_LEVEL"]
