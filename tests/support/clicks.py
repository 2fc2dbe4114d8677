"""A user who clicks through all pages of the console, and the service's own times for them."""

from __future__ import annotations

import asyncio
import html
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from statistics import median
from typing import Any
from urllib.parse import urlencode

import msgspec

from service.core.reads.orders import orders_of
from service.core.tables import by_path
from tests.support.load import Line, request
from tests.support.many_hires import searches
from tests.support.routes import ENDPOINTS

EMPLOYEES = "/console/tables/employees"
ROW = 7
"""A hire that is in the table from the beginning."""
YEAR = 2021
COUNT_ALL = "count all"
"""The only page that reads all rows that match. Its link says that it takes long."""
PAGES = {
    "overview": ["/"],
    "load": ["/console/load"],
    "backups": ["/console/backups"],
    "table": [
        *("/console/tables/departments", "/console/tables/jobs"),
        *(f"{EMPLOYEES}?order={order}" for order in orders_of(by_path("employees"))),
    ],
    "row": [f"{EMPLOYEES}/{ROW}", "/console/tables/departments/3", "/console/tables/jobs/7"],
    "rejects": [
        "/console/rejects",
        *(f"/console/rejects?state={state}" for state in ("corrected", "dismissed")),
        *(f"/console/rejects?source={source}" for source in ("api", "loader")),
        *(f"/console/rejects?table=employees&code={code}" for code in ("not_found", "format")),
        "/console/rejects?table=employees&source=loader&origin=hired_employees.csv",
    ],
    "report": [
        "/console/reports",
        f"/console/reports?year={YEAR}&order=-total",
        f"/console/reports?year={YEAR}&department_id=3",
        f"/console/reports/hires-by-quarter.csv?year={YEAR}",
    ],
    "chart": [
        f"/reports/hires-by-quarter.svg?year={YEAR}",
        f"/reports/departments-above-mean.svg?year={YEAR}",
    ],
    "suggestions": ["/departments?limit=20&order=department", "/jobs?limit=20&order=job&job=j"],
    COUNT_ALL: [f"{EMPLOYEES}?count=exact"],
}
"""The addresses of each kind of page."""
BY_NAME: list[dict[str, list[str]]] = [
    {"department": ["departments 3"]},
    {"department": ["dep"], "job": ["jobs 1"]},
]
SEARCHES = [
    f"{EMPLOYEES}?{urlencode({**texts, 'order': order}, doseq=True)}"
    for texts in [*searches(), *BY_NAME]
    for order in orders_of(by_path("employees"))
]
STEP = 41
"""A round has each 41st search, the next round those after them. It has no factor in common with
the number of orders, so each round has all orders."""
NO_PAGES = ("/static/", "/events", "/rejects", "/backups/")
"""In the routes of the console: files and streams that take as long as their work."""


def routes_of_pages() -> set[str]:
    """The templates of the pages of the console, as the log names them."""
    gets = {re.sub(r":\w+", "", one.template) for one in ENDPOINTS if one.method == "GET"}
    ours = {route for route in gets if route.startswith("/console/") or route == "/"}
    return {
        route
        for route in ours
        if route == "/console/rejects" or not any(part in route for part in NO_PAGES)
    }


def clicks(number: int) -> Iterator[tuple[str, str]]:
    """(kind, address) of the pages of a round."""
    for kind, addresses in PAGES.items():
        yield from ((kind, address) for address in addresses)
    yield from (("search", address) for address in SEARCHES[number % STEP :: STEP])


class User:
    """Clicks through all pages again and again, one page after the other.

    rounds: how often all pages were seen; addresses: those that were clicked, by the id of their
    request.
    """

    def __init__(self, port: int):
        self.rounds = 0
        self.addresses: dict[str, str] = {}
        self._line = Line(port)
        self._numbers = count()

    async def click_until(self, stop: asyncio.Task[Any]) -> None:
        """Click until a task has ended; AssertionError if a page is not there."""
        while not stop.done():
            for kind, address in clicks(self.rounds):
                await self._click(kind, address)
            self.rounds += 1
        self._line.close()

    async def _click(self, kind: str, address: str) -> None:
        """Click on a page, on its next page, and on the jobs that it lists."""
        name = f"{kind.replace(' ', '-')}/{next(self._numbers)}"
        self.addresses[name] = address
        message = request("GET", address, accept="text/html,*/*", x_request_id=name)
        reply = await self._line.send(message)
        text = reply.body.decode()
        assert reply.status == 200, (address, text)
        if kind == "load":
            for job in set(re.findall(r'href="(/console/jobs/[^"/]*)"', text)):
                await self._click("job", job)
        following = re.search(r'rel="next" href="([^"]*)"', text)
        if following and kind != "next page":
            await self._click("next page", html.unescape(following[1]))


@dataclass(frozen=True)
class Times:
    """The milliseconds that the service took for pages of one kind, by the ids of requests."""

    by_request: dict[str, float]

    @property
    def median(self) -> float:
        return median(self.by_request.values())

    @property
    def p99(self) -> float:
        ordered = sorted(self.by_request.values())
        return ordered[math.ceil(0.99 * len(ordered)) - 1]

    @property
    def longest(self) -> float:
        return max(self.by_request.values())


def times_of(log: str) -> tuple[dict[str, Times], set[str]]:
    """The times of each kind of page in the log of a service, and the routes of these pages."""
    found: dict[str, dict[str, float]] = {}
    routes = set()
    for line in log.splitlines():
        name = _request_id(line)
        kind = name.partition("/")[0].replace("-", " ")
        if "/" in name:
            entry = msgspec.json.decode(line)
            found.setdefault(kind, {})[name] = entry["milliseconds"]
            routes.add(entry["route"])
    return {kind: Times(times) for kind, times in found.items()}, routes


def _request_id(line: str) -> str:
    """The id of a request that has ended; empty if the line is about something else."""
    found = re.search(r'"request_id": ?"([^"]*)"', line)
    return found[1] if found and '"milliseconds"' in line else ""
