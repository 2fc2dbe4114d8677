"""What clients sent and were answered, compared with the rows that are stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What must not happen to a row, or to a batch."""

    LOST = "lost"  # a reply has an id for it, and it is not stored
    DOUBLED = "doubled"  # stored more than once
    WRONG_ID = "wrong id"  # stored with another id than in the reply
    REFUSED = "stored in spite of a refusal"
    PARTIAL = "stored without the rest of its batch"
    CHANGED = "another reply to the same key"
    UNKNOWN = "nobody sent it"


UNDECIDED = {409, 429}
"""Refusals that ask the client to send the same again."""


@dataclass(frozen=True)
class Attempt:
    """One request. status: None without a reply; began, ended: seconds of a monotonic clock."""

    status: int | None
    body: bytes
    began: float
    ended: float

    @property
    def is_success(self) -> bool:
        return self.status in {200, 201, 207}

    @property
    def is_refusal(self) -> bool:
        """Whether it says that nothing was written and nothing will be."""
        return self.status is not None and 400 <= self.status < 500 and self.status not in UNDECIDED


@dataclass
class Batch:
    """The unique names of the rows of a batch, and all requests that sent it with one key."""

    key: str
    names: list[str]
    attempts: list[Attempt] = field(default_factory=list)


@dataclass(frozen=True)
class Anomaly:
    """subject: the name of a row, or the key of a batch."""

    kind: Kind
    subject: str


def anomalies(history: Iterable[Batch], stored: Iterable[tuple[int, str]]) -> list[Anomaly]:
    """Every difference between the replies and the stored rows.

    A row with an id in a reply is stored once, with that id. A row that was refused is not stored.
    A batch of unknown outcome is stored once or not at all, as a whole. All final replies to a key
    are equal. No other row is stored.

    stored: the id and the name of each row.
    """
    ids: dict[str, list[int]] = defaultdict(list)
    for number, name in stored:
        ids[name].append(number)
    found: list[Anomaly] = []
    for batch in history:
        found += _of_replies(batch)
        found += _of_rows(batch, {name: ids.pop(name, []) for name in batch.names})
    return found + [Anomaly(Kind.UNKNOWN, name) for name in ids]


def counts(found: Iterable[Anomaly]) -> Counter[Kind]:
    """How many anomalies there are of each kind."""
    return Counter(anomaly.kind for anomaly in found)


def _of_replies(batch: Batch) -> Iterator[Anomaly]:
    final = {(it.status, it.body) for it in batch.attempts if it.is_success or it.is_refusal}
    if len(final) > 1:
        yield Anomaly(Kind.CHANGED, batch.key)


def _of_rows(batch: Batch, ids: Mapping[str, list[int]]) -> Iterator[Anomaly]:
    """ids: all that the rows of this batch have in the table, by name."""
    yield from (Anomaly(Kind.DOUBLED, name) for name, found in ids.items() if len(found) > 1)
    reply = next((attempt for attempt in batch.attempts if attempt.is_success), None)
    if reply:
        acknowledged = msgspec.json.decode(reply.body)["ids"]
        for name, number in zip(batch.names, acknowledged, strict=True):
            yield from _of_row(name, number, ids[name])
    elif any(attempt.is_refusal for attempt in batch.attempts):
        yield from (Anomaly(Kind.REFUSED, name) for name, found in ids.items() if found)
    elif any(ids.values()) and not all(ids.values()):
        yield from (Anomaly(Kind.PARTIAL, name) for name, found in ids.items() if found)


def _of_row(name: str, acknowledged: int | None, ids: list[int]) -> Iterator[Anomaly]:
    if acknowledged is None:
        if ids:
            yield Anomaly(Kind.REFUSED, name)
    elif not ids:
        yield Anomaly(Kind.LOST, name)
    elif acknowledged not in ids:
        yield Anomaly(Kind.WRONG_ID, name)
