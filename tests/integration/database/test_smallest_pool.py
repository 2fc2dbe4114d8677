"""The smallest pool: no task waits for a connection that it holds itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.errors import SettingsError
from service.core.settings import Settings
from tests.support import engine, program
from tests.support.backup_files import DEPARTMENTS, JOBS
from tests.support.csv_files import Folder
from tests.support.csv_files import hire as line
from tests.support.hires import hire
from tests.support.restores import archive, post
from tests.support.serving import serving

SMALLEST = 2
"""A migration needs one connection for its lock and one for its statements."""
HIRES = 60


@pytest.fixture
def smallest(migrated: Settings) -> Settings:
    return msgspec.structs.replace(migrated, mysql_pool_size=SMALLEST, mysql_timeout=10)


@pytest.mark.parametrize("size", range(SMALLEST))
def test_a_smaller_pool_is_refused(size: int) -> None:
    with pytest.raises(SettingsError, match=rf"^MYSQL_POOL_SIZE: .*at least {SMALLEST}"):
        Settings.from_environment({"MYSQL_POOL_SIZE": str(size)})


async def test_every_command_works_with_the_smallest_pool(
    scratch: Settings, folder: Folder
) -> None:
    folder.write(hired_employees=[line(number) for number in range(1, HIRES)])
    settings = msgspec.structs.replace(
        scratch, mysql_pool_size=SMALLEST, data_dir=folder.path, rejects_dir=folder.rejects
    )
    variables = engine.environment(settings) | {"BACKUP_DIR": str(folder.path / "backups")}
    for command in (
        ("service", "migrate"),
        ("loader", "--workers", "16"),
        ("loader", "--dry-run", "--on-conflict", "replace"),
        ("service", "backup", "--all"),
    ):
        ended = await program.run(*command, **variables)
        assert ended.code == 0, (command, ended.err)
    (saved,) = (folder.path / "backups").iterdir()
    ended = await program.run("service", "restore", str(saved), **variables)
    assert (ended.code, ended.out.count("verified=True")) == (0, 3), ended.err


async def test_a_load_may_have_more_workers_than_connections(
    single: Database, folder: Folder, small_blocks: None
) -> None:
    folder.write(hired_employees=[line(number) for number in range(1, HIRES)])
    async with asyncio.timeout(60):
        summaries = await load(single, folder.options(workers=32))
    assert [summary.counts.added for summary in summaries] == [2, 2, HIRES - 1]


async def test_concurrent_requests_of_all_kinds_work_with_the_smallest_pool(
    smallest: Settings, database: Database, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(smallest, backup_dir=tmp_path)
    async with serving(settings) as client, asyncio.timeout(60):
        content = archive((DEPARTMENTS, 3), (JOBS, 5))
        assert (await post(client, "restore/all", content)).status_code == 200
        replies = await asyncio.gather(
            *(
                client.post("/employees", json=[hire()], headers={"Idempotency-Key": str(number)})
                for number in range(6)
            ),
            client.get("/avro/backup/all"),
            client.get("/reports/hires-by-quarter"),
            client.get("/employees"),
            client.get("/health/ready"),
        )
        # The smallest pool has room for one backup at a time.
        replies.append(await client.post("/avro/backup"))
    codes = {reply.status_code for reply in replies}
    assert codes <= {200, 201}, [reply.text for reply in replies if reply.status_code > 201]
