"""A user who clicks through all pages of the console, and the service's own times for them."""

from __future__ import annotations

import asyncio
import html
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import msgspec

from service.core.reads.orders import orders_of
from service.core.tables import by_path
from tests.support.load import Line, request
from tests.support.many_hires import FULL, searches
from tests.support.routes import ENDPOINTS

LIMIT, ATTEMPTS = 0.3, 3
"""Seconds for a page, and how often the user tries one that takes longer. The quickest counts:
other work of the machine makes some slower."""
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
JOBS = re.compile(r'href="(/console/jobs/[^"/]*)"')
NEXT = re.compile(r'rel="next" href="([^"]*)"')
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


def pages(number: int) -> Iterator[tuple[str, str]]:
    """(kind, address) of the pages of a round."""
    for kind, addresses in PAGES.items():
        yield from ((kind, address) for address in addresses)
    # In the short form, all rounds have the same pages.
    yield from (("search", address) for address in SEARCHES[number % STEP if FULL else 0 :: STEP])


@dataclass
class Click:
    """A click on a page in a round; seconds: until the user had it, milliseconds: in the service.

    A page that follows another one has its address and another kind.
    """

    kind: str
    address: str
    round: int
    seconds: float = 0.0
    milliseconds: float = 0.0
    route: str = ""


class User:
    """Clicks through all pages again and again, one page after the other.

    rounds: how often all pages were seen; clicks: by the ids of their requests.
    """

    def __init__(self, port: int):
        self.rounds = 0
        self.clicks: dict[str, Click] = {}
        self._line = Line(port)

    async def click_until(self, stop: asyncio.Task[Any]) -> None:
        """Click until a task has ended; AssertionError if a page is not there."""
        while not stop.done():
            for kind, address in pages(self.rounds):
                text = await self._visit(kind, address, address)
                for job in set(JOBS.findall(text)) if kind == "load" else ():
                    await self._visit("job", job, job)
                for following in NEXT.findall(text):
                    await self._visit("next page", address, html.unescape(following))
            self.rounds += 1
        self._line.close()

    async def _visit(self, kind: str, name: str, address: str) -> str:
        """The page at an address, in the full form again if it took too long."""
        click, text = await self._click(Click(kind, name, self.rounds), address)
        for _ in range(1, ATTEMPTS if FULL else 1):
            if click.seconds > LIMIT:
                click, text = await self._click(Click(kind, name, self.rounds), address)
        return text

    async def _click(self, click: Click, address: str) -> tuple[Click, str]:
        number = f"click-{len(self.clicks)}"
        self.clicks[number] = click
        message = request("GET", address, accept="text/html,*/*", x_request_id=number)
        reply = await self._line.send(message)
        click.seconds, text = reply.seconds, reply.body.decode()
        assert reply.status == 200, (address, text)
        return click, text

    def add_log(self, log: str) -> None:
        """Take the service's own times from its log in JSON."""
        for line in log.splitlines():
            if '"milliseconds"' in line and '"click-' in line:
                entry = msgspec.json.decode(line)
                click = self.clicks[entry["request_id"]]
                click.milliseconds, click.route = entry["milliseconds"], entry["route"]


def percentile(times: Iterable[float], percent: int) -> float:
    """The least of the times that so many percent of them do not exceed."""
    ordered = sorted(times)
    return ordered[math.ceil(percent / 100 * len(ordered)) - 1]
