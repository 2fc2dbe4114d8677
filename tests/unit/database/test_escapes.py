"""Texts in statements: the driver's shortcut escapes them as its library does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pymysql.constants import SERVER_STATUS
from pymysql.converters import escape_string

from service.core.database.driver import SPECIAL, Connection, Server

TEXTS = st.text(st.one_of(st.sampled_from(SPECIAL + "0nrZ"), st.characters()))


@given(text=TEXTS)
async def test_a_text_is_escaped_as_by_the_library(text: str) -> None:
    connection = Connection(Server({"host": "localhost"}))
    connection.server_status = 0
    assert connection.escape_string(text) == escape_string(text)


async def test_a_server_without_backslash_escapes_gets_none() -> None:
    connection = Connection(Server({"host": "localhost"}))
    connection.server_status = SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES
    assert connection.escape_string("O'Neil\\") == "O''Neil\\"
