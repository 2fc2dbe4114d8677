"""A user clicks through all pages of the console while a load runs: no page waits for the load.

With LISTS=full, a million hires are loaded, and the service has 300 ms for each page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from service.core.settings import Settings
from tests.support import console, engine, program
from tests.support.clicks import COUNT_ALL, ROW, Times, User, routes_of_pages, times_of
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
MILLISECONDS = 300
WAITING_MILLISECONDS = 1000
"""In the short form, for the median of each kind of page. A busy machine delays some requests by
more, but not half of them. A page that waits for the load has no reply, because the load does not
continue before the user has seen every page."""
JOB = "/console/jobs/{job_id}"
SECONDS = 1500 if FULL else 110

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


async def hold(database: Database, user: User, loading: asyncio.Task[None]) -> None:
    """Block the load in its middle until the user has seen all pages several times.

    So it has open transactions, locks and connections while the user clicks.
    """
    with suppress(Rollback):
        async with database.transaction(SECONDS) as blocking:
            await blocking.execute(
                "INSERT INTO hired_employees (id, name, `datetime`, department_id, job_id) "
                "VALUES (%s, 'Mine', '2021-01-01', 1, 1)",
                (MIDDLE,),
            )
            await until(lambda: has_begun(database), SECONDS)
            last = user.rounds + ROUNDS
            while user.rounds < last:
                assert not loading.done(), "the load was not held"
                await asyncio.sleep(0.05)
            raise Rollback


async def has_begun(database: Database) -> bool:
    """Whether the load has written rows."""
    others = "SELECT 1 FROM hired_employees WHERE id <> %s LIMIT 1"
    return bool(await database.fetch(others, (ROW,)))


@pytest.mark.parametrize("load", [with_the_loader, on_the_console])
async def test_no_page_waits_for_a_load(
    load: Callable[[Service, Settings, Path], Awaitable[None]],
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
            group.create_task(hold(database, user, loading))
    finally:
        ended = await service.end()
    times, routes = times_of(ended.err)
    shown(load.__name__, times)
    assert await count(database, "hired_employees") > 0.97 * ROWS
    assert routes >= routes_of_pages() - ({JOB} if load is with_the_loader else set())
    assert slow_pages(times, user) == []


def shown(way: str, times: dict[str, Times]) -> None:
    """Report the times of each kind of page, the slowest first."""
    for kind, one in sorted(times.items(), key=lambda item: -item[1].longest):
        figures = {"median_ms": one.median, "p99_ms": one.p99, "max_ms": one.longest}
        report(f"{way}, {kind}", pages=len(one.by_request), **figures)


def slow_pages(times: dict[str, Times], user: User) -> list[tuple[float, str]]:
    """(milliseconds, address or kind) of the pages that took too long."""
    held = {kind: one for kind, one in times.items() if kind != COUNT_ALL}
    if not FULL:
        medians = ((one.median, kind) for kind, one in held.items())
        return [found for found in medians if found[0] > WAITING_MILLISECONDS]
    each = [item for one in held.values() for item in one.by_request.items()]
    return [(took, user.addresses[name]) for name, took in each if took > MILLISECONDS]
