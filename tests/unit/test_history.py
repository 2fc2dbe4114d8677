"""The check of a history finds each anomaly, and only anomalies."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.history import Anomaly, Attempt, Batch, Kind, anomalies, counts

NAMES = ["a", "b"]
STORED = [(1, "a"), (2, "b")]


def attempt(status: int | None, ids: list[int | None] | None = None) -> Attempt:
    body = msgspec.json.encode({"ids": ids} if ids else {"title": "Refused"})
    return Attempt(status, body if status else b"", 0, 1)


OK = attempt(201, [1, 2])
NO_REPLY = attempt(None)


def found(stored: list[tuple[int, str]], *attempts: Attempt) -> list[Anomaly]:
    return anomalies([Batch("key", NAMES, list(attempts))], stored)


@pytest.mark.parametrize(
    "attempts",
    [[OK], [OK, OK], [NO_REPLY, attempt(503), attempt(409), attempt(429), OK], [NO_REPLY]],
    ids=["once", "repeated", "retried", "unknown"],
)
def test_all_rows_are_stored_as_acknowledged(attempts: list[Attempt]) -> None:
    assert found(STORED, *attempts) == []


@pytest.mark.parametrize(
    "status", [None, 422, 409, 429, 500, 503], ids=lambda status: str(status or "no reply")
)
def test_no_row_is_stored_without_a_success(status: int | None) -> None:
    assert found([], attempt(status)) == []


def test_the_rejected_row_of_a_batch_is_not_stored() -> None:
    assert found([(2, "b")], attempt(207, [None, 2])) == []


def test_a_lost_row() -> None:
    assert found([(1, "a")], OK) == [Anomaly(Kind.LOST, "b")]


@pytest.mark.parametrize("reply", [OK, NO_REPLY], ids=["acknowledged", "unknown"])
def test_a_doubled_row(reply: Attempt) -> None:
    assert found([*STORED, (3, "b")], reply) == [Anomaly(Kind.DOUBLED, "b")]


def test_a_wrong_id() -> None:
    assert found([(1, "a"), (3, "b")], OK) == [Anomaly(Kind.WRONG_ID, "b")]


def test_swapped_ids() -> None:
    kinds = counts(found([(2, "a"), (1, "b")], OK))
    assert kinds == {Kind.WRONG_ID: 2}


def test_a_refused_batch_is_stored() -> None:
    assert found(STORED, NO_REPLY, attempt(422)) == [
        Anomaly(Kind.REFUSED, "a"),
        Anomaly(Kind.REFUSED, "b"),
    ]


def test_a_rejected_row_is_stored() -> None:
    assert found(STORED, attempt(207, [1, None])) == [Anomaly(Kind.REFUSED, "b")]


@pytest.mark.parametrize("status", [None, 500, 503], ids=lambda status: str(status or "no reply"))
def test_a_part_of_a_batch_of_unknown_outcome_is_stored(status: int | None) -> None:
    assert found([(2, "b")], attempt(status)) == [Anomaly(Kind.PARTIAL, "b")]


@pytest.mark.parametrize("other", [attempt(201, [2, 1]), attempt(200, [1, 2]), attempt(422)])
def test_another_reply_to_the_same_key(other: Attempt) -> None:
    assert found(STORED, OK, other) == [Anomaly(Kind.CHANGED, "key")]


def test_a_row_that_nobody_sent() -> None:
    assert found([*STORED, (3, "c")], OK) == [Anomaly(Kind.UNKNOWN, "c")]


def test_batches_of_the_history_are_distinguished() -> None:
    second = Batch("other", ["c", "d"], [attempt(201, [3, 4])])
    first = Batch("key", NAMES, [OK])
    assert anomalies([first, second], [*STORED, (3, "c")]) == [Anomaly(Kind.LOST, "d")]
