"""Every error number of a server has its place, and none that a cluster may send is a 500."""

from __future__ import annotations

from http import HTTPStatus

import pymysql
import pytest

from service.core.database.error_numbers import ERRORS, translated_errors
from service.core.database.transactions import Database
from service.core.errors import (
    ContentionError,
    DatabaseError,
    HirebaseError,
    ReadOnlyError,
    TransactionTooLarge,
    UnavailableError,
)
from service.web import problems

SIGNAL = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}, MESSAGE_TEXT = '{}'"

PLACES: dict[type[HirebaseError], tuple[int, ...]] = {
    UnavailableError: (
        *(1040, 1053, 1077, 1105, 1129, 1159, 1180, 1203, 1317, 1927, 1969),
        *(2003, 2006, 2013, 2055, 3024, 3100, 3168, 3169, 3796, 3797, 3798, 3799, 4031),
        *(4012, 4013, 4030, 4038, 4081, 4085, 4654, 6225),  # OceanBase
        *(8027, 8120, 8229, 9001, 9002, 9003, 9004, 9005),  # TiDB
    ),
    ReadOnlyError: (1047, 1290, 1792, 1836, 3032),
    ContentionError: (
        *(1020, 1205, 1213, 1451, 1614, 1689, 3101, 3572),
        *(4023, 4138, 4383, 6001, 6002, 6005, 6235),  # OceanBase
        *(8002, 8005, 8022, 8028, 8147, 9007),  # TiDB
    ),
    TransactionTooLarge: (1197, 1206, 3231, 8004, 8025, 9500),
}
STATUSES: dict[type[HirebaseError], int] = {
    UnavailableError: 503,
    ReadOnlyError: 503,
    ContentionError: 503,
    TransactionTooLarge: 422,
}


@pytest.mark.parametrize("kind", PLACES)
async def test_a_number_from_the_server_has_its_kind(
    database: Database, kind: type[HirebaseError]
) -> None:
    for number in PLACES[kind]:
        with pytest.raises(HirebaseError) as caught:
            async with database.transaction() as transaction:
                await transaction.execute(SIGNAL.format(number, "said"))
        assert type(caught.value) is kind, number
        assert problems.of_core_error(None, caught.value).status_code == STATUSES[kind]  # type: ignore[arg-type]


def test_the_kinds_of_a_cluster_are_no_internal_errors() -> None:
    cluster = (UnavailableError, ContentionError, TransactionTooLarge)
    for kind in {kind for kind in ERRORS.values() if issubclass(kind, cluster)}:
        status = problems.of_core_error(None, kind("text")).status_code  # type: ignore[arg-type]
        assert status in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.UNPROCESSABLE_ENTITY}


@pytest.mark.parametrize(
    ("number", "text", "kind"),
    [
        (1105, "Maximum writeset size exceeded", TransactionTooLarge),
        (1105, "Unknown error", UnavailableError),
        (1180, "wsrep_max_ws_rows exceeded", TransactionTooLarge),
        (
            1180,
            "Got error 149 - ''Lock deadlock; Retry transaction'' during COMMIT",
            ContentionError,
        ),
        (1180, "Got error 107 - ''Transport'' during COMMIT", UnavailableError),
        (1180, "Error while appending streaming replication fragment", UnavailableError),
    ],
)
async def test_errors_with_the_same_number_are_distinguished_by_their_text(
    database: Database, number: int, text: str, kind: type[HirebaseError]
) -> None:
    with pytest.raises(HirebaseError) as caught:
        async with database.transaction() as transaction:
            await transaction.execute(SIGNAL.format(number, text))
    assert type(caught.value) is kind


def test_a_number_without_a_place_is_an_error_of_the_program() -> None:
    with pytest.raises(DatabaseError) as caught, translated_errors():
        raise pymysql.ProgrammingError(1064, "syntax")
    assert type(caught.value) is DatabaseError


@pytest.mark.parametrize("number", [1044, 1142, 1227])
async def test_a_right_that_is_missing_is_named_by_doctor(database: Database, number: int) -> None:
    with pytest.raises(DatabaseError, match=r"lacks a right.*doctor"):
        async with database.transaction() as transaction:
            await transaction.execute(SIGNAL.format(number, "denied"))
