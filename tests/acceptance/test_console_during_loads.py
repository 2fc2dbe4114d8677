"""A user clicks through all pages of the console while a load runs: no page waits for the load.

With LISTS=full, a million hires are loaded, and the service has 300 ms for each page.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support import console, engine, program
from tests.support.clicks import COUNT_ALL, LIMIT, ROW, User, percentile, routes_of_pages
from tests.support.hires import add_hire_7, add_parents, count
from tests.support.load import PASSWORD, USER, report, started
from tests.support.many_hires import FULL
from tests.support.program import Service
from tests.support.waiting import until

ROWS = 1_000_000 if FULL else 60_000
MIDDLE = ROWS // 4 + 1
"""The id of a good row, with which the load is held."""
ROUNDS = 3
FIRST, TWENTY_YEARS = datetime(2002, 1, 1, tzinfo=UTC), 20 * 365 * 24 * 60 * 60
SLOW_SECONDS = 1
"""A page that waits for the load waits for seconds: for a lock, a connection or the event loop. On
a busy machine some pages take so long, but not most of the time."""
JOB = "/console/jobs/{job_id}"
SECONDS = 1500 if FULL else 300

pytestmark = pytest.mark.timeout(SECONDS)
FAULTS = {
    0: ("", "2021-03-04T05:06:07Z", 1),
    1: ("Ana", "last Tuesday", 1),
    2: ("Ana", "2021-03-04T05:06:07Z", 999),
}
"""(name, datetime, department_id) of bad rows."""


class Rollback(Exception):
    """Rolls a transaction back."""


def hires(numbers: range, *, ids: bool = True) -> Iterator[str]:
    """Lines of hires of twenty years; each 40th row is bad."""
    for n in numbers:
        name = f"{chr(65 + n * 7 % 26)}{('da', 'lma', 'rlo', 'vi', 'ko')[n % 5]} {n % 997}"
        second = timedelta(seconds=n * 104_729_041 % TWENTY_YEARS)
        moment, department = f"{(FIRST + second).isoformat()}", 1 + n * 5 % 12
        if n % 40 == 0:
            name, moment, department = FAULTS[n // 40 % 3]
        line = f"{name},{moment},{department},{1 + n * 13 % 183}\n"
        yield f"{n},{line}" if ids else line


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    """A folder with ROWS hires: all with ids, and in `console` one half with and one without."""
    (tmp_path / "console").mkdir()
    half = ROWS // 2
    with (tmp_path / "hired_employees.csv").open("w") as file:
        file.writelines(hires(range(1, ROWS + 1)))
    with (tmp_path / "console" / "hired_employees.csv").open("w") as file:
        file.writelines(hires(range(1, half + 1)))
    with (tmp_path / "console" / "more.csv").open("w") as file:
        file.write("name,datetime,department_id,job_id\n")
        file.writelines(hires(range(half + 1, ROWS + 1), ids=False))
    yield tmp_path
    for path in tmp_path.rglob("*.csv"):  # they are large
        path.unlink()


async def with_the_loader(_service: Service, settings: Settings, files: Path) -> None:
    """In a process of its own."""
    folders = {"DATA_DIR": str(files), "REJECTS_DIR": str(files / "rejects")}
    ended = await program.run("loader", **(engine.environment(settings) | folders))
    assert ended.code == 0, ended.err


async def on_the_console(service: Service, _settings: Settings, files: Path) -> None:
    """In the process of the service: a file with ids, and then one without."""
    async with service.client(USER, PASSWORD) as client:
        contents = [
            (name, (files / "console" / name).read_bytes())
            for name in ("hired_employees.csv", "more.csv")
        ]
        upload = await console.upload(client, *contents)
        tables = {"upload": upload, "tables": {0: "employees", 1: "employees"}}
        job = await console.run(client, "/console/loads", json=tables)
        await console.confirm(client, job)
        assert "Done." in await console.page(client, job)


async def hold(database: Database, user: User, loading: asyncio.Task[None]) -> range:
    """Block the load in its middle for some rounds of the user; these rounds.

    So it has open transactions, locks and connections while the user clicks.
    """
    rounds = range(0)
    with suppress(Rollback):
        async with database.transaction(SECONDS) as blocking:
            await blocking.execute(
                "INSERT INTO hired_employees (id, name, `datetime`, department_id, job_id) "
                "VALUES (%s, 'Mine', '2021-01-01', 1, 1)",
                (MIDDLE,),
            )
            await until(lambda: has_begun(database), SECONDS)
            rounds = range(user.rounds + 1, user.rounds + 1 + ROUNDS)
            while user.rounds < rounds.stop:
                assert not loading.done(), "the load was not held"
                await asyncio.sleep(0.05)
            raise Rollback
    return rounds


async def has_begun(database: Database) -> bool:
    """Whether the load has written rows."""
    others = "SELECT 1 FROM hired_employees WHERE id <> %s LIMIT 1"
    return bool(await database.fetch(others, (ROW,)))


@pytest.mark.parametrize("load", [with_the_loader, on_the_console])
async def test_no_page_waits_for_a_load(
    load: Callable[[Service, Settings, Path], Coroutine[Any, Any, None]],
    migrated: Settings,
    database: Database,
    files: Path,
) -> None:
    await add_parents(database, range(1, 184))
    await add_hire_7(database)
    service = await started(migrated, LOG_LEVEL="info", LOG_FORMAT="json")
    user = User(service.port)
    try:
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load(service, migrated, files))
            group.create_task(user.click_until(loading))
            holding = group.create_task(hold(database, user, loading))
    finally:
        ended = await service.end()
    user.add_log(ended.err)
    show(load.__name__, user)
    assert await count(database, "hired_employees") > 0.97 * ROWS
    routes = {click.route for click in user.clicks.values()}
    assert routes >= routes_of_pages() - ({JOB} if load is with_the_loader else set())
    assert waiting(user, holding.result()) == {}
    assert share_of_slow_pages(user) < 0.5
    if FULL:
        assert slow(user) == {}


def show(way: str, user: User) -> None:
    """Report the times of each kind of page, the slowest first."""
    kinds: dict[str, list[float]] = {}
    for click in user.clicks.values():
        kinds.setdefault(click.kind, []).append(click.milliseconds)
    for kind, times in sorted(kinds.items(), key=lambda item: -max(item[1])):
        figures = {f"p{at}_ms": percentile(times, at) for at in (50, 90, 99)}
        report(f"{way}, {kind}", pages=len(times), **figures, max_ms=max(times))


def waiting(user: User, rounds: range) -> dict[tuple[str, str], float]:
    """The pages that took SLOW_SECONDS in most of these rounds, in which the load was held."""
    found: dict[tuple[str, str], list[float]] = {}
    for click in user.clicks.values():
        if click.round in rounds:
            found.setdefault((click.kind, click.address), []).append(click.seconds)
    return {page: median(times) for page, times in found.items() if median(times) > SLOW_SECONDS}


def share_of_slow_pages(user: User) -> float:
    """The share of the user's time in which a page took SLOW_SECONDS."""
    times = [click.seconds for click in user.clicks.values()]
    return sum(one for one in times if one > SLOW_SECONDS) / sum(times)


def slow(user: User) -> dict[tuple[str, str, int], float]:
    """The milliseconds of visits that took the service longer than LIMIT in each attempt."""
    visits: dict[tuple[str, str, int], float] = {}
    for click in user.clicks.values():
        visit = (click.kind, click.address, click.round)
        visits[visit] = min(click.milliseconds, visits.get(visit, math.inf))
    return {
        visit: took
        for visit, took in visits.items()
        if took > LIMIT * 1000 and visit[0] != COUNT_ALL
    }
