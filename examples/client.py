"""An async client: posts batches of rows, so that each row is written once.

It sends each batch with an Idempotency-Key and in gzip. After a lost connection, or a status of
BUSY, it waits at least as long as Retry-After says, and sends the batch again.

    API_PASS=secret python -m examples.client employees < rows.json
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
"""Seconds before the first repeat, and before the later ones at most, if the service names none."""
BUSY = {
    409: "the first request with this key is still running",
    429: "too many passwords are being checked",
    502: "the proxy lost the replica that worked on it",
    503: "the database is away, too busy or too late",
    504: "the proxy got no answer in time",
}
"""Statuses after which the same request can succeed. 502 and 504 come only from a proxy."""


@dataclass(frozen=True)
class Failure:
    """A row that was not written; index: its position in the batch; errors: what is wrong."""

    index: int
    record: Any
    errors: list[dict[str, str | None]]


@dataclass(frozen=True)
class Verdict:
    """The result of a batch; ids: of the rows by position, None for those that were not written."""

    ids: list[int | None]
    failures: list[Failure]

    @classmethod
    def of(cls, reply: dict[str, Any]) -> Self:
        failures = [
            Failure(failure["index"], failure["record"], failure["errors"])
            for failure in reply["failures"]
        ]
        return cls(reply.get("ids", []), failures)


class Refused(Exception):
    """The service refuses the request, and would refuse it again; its text says why."""


class Unavailable(Exception):
    """No answer in time. Whether the rows are written is open: repeat with the same key."""

    def __init__(self, key: str, reason: str):
        super().__init__(f"No answer in time for the batch with the key {key}: {reason}.")
        self.key = key


@dataclass
class Client:
    """A client of one service; patience: seconds until it gives up a batch.

    refusals: how often the service was too busy. It says when to send less at once.
    """

    http: httpx.AsyncClient
    patience: float = 60.0
    refusals: int = field(default=0, init=False)

    @classmethod
    @asynccontextmanager
    async def connected(
        cls, address: str, user: str, password: str, **options: Any
    ) -> AsyncIterator[Self]:
        """A client of the service at an address such as http://127.0.0.1:8000."""
        async with httpx.AsyncClient(
            base_url=address, auth=httpx.BasicAuth(user, password), timeout=60
        ) as http:
            yield cls(http, **options)

    async def post(
        self, table: str, rows: Sequence[dict[str, Any]], key: str | None = None
    ) -> Verdict:
        """Write 1 to 1000 rows. Raises Refused or Unavailable."""
        return await self.post_body(table, json.dumps(rows).encode(), "application/json", key)

    async def post_body(
        self, table: str, body: bytes, kind: str, key: str | None = None
    ) -> Verdict:
        """Write a batch in any format of the service; kind: its media type."""
        key = key or uuid.uuid4().hex
        headers = {"Idempotency-Key": key, "Content-Type": kind, "Content-Encoding": "gzip"}
        packed = gzip.compress(body, compresslevel=1)
        end, pause = time.monotonic() + self.patience, FIRST_PAUSE
        while True:
            wait, reason = pause, ""
            try:
                response = await self.http.post(f"/{table}", content=packed, headers=headers)
                if response.status_code not in BUSY:
                    return _verdict(response)
                self.refusals += 1
                wait = max(wait, float(response.headers.get("Retry-After", 0)))
                reason = BUSY[response.status_code]
            except httpx.TransportError as error:
                reason = str(error) or type(error).__name__
            # Jitter: clients that were refused together do not come back together.
            wait *= random.uniform(1, 1.5)  # noqa: S311 - it keeps no secret
            if time.monotonic() + wait > end:
                raise Unavailable(key, reason)
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE)


def _verdict(response: httpx.Response) -> Verdict:
    """The result in a reply. A problem has another media type, also with status 422."""
    if response.headers.get("Content-Type", "").startswith("application/json"):
        return Verdict.of(response.json())
    raise Refused(f"{response.status_code}: {response.text}")


async def main(table: str) -> int:
    """Post the JSON array of standard input; 1 if a row was not written."""
    address = os.environ.get("API_URL", "http://127.0.0.1:8000")
    user, password = os.environ.get("API_USER", "admin"), os.environ["API_PASS"]
    async with Client.connected(address, user, password) as client:
        verdict = await client.post(table, json.load(sys.stdin))
    print("ids:", *verdict.ids)
    for failure in verdict.failures:
        messages = "; ".join(str(error["message"]) for error in failure.errors)
        print(f"row {failure.index}: {messages}")
    return 1 if verdict.failures else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
