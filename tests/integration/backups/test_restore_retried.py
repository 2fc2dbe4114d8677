"""Retried restores: each attempt reads the file independently."""

from __future__ import annotations

import io
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

import pytest

from service.core.backups.format import container
from service.core.backups.format.avro import Writer
from service.core.backups.format.checksum import Checksum
from service.core.backups.restore import restore
from service.core.backups.sources import opened, readers
from service.core.database.statements import Transaction
from service.core.database.transactions import Database
from service.core.errors import BackupError
from service.core.tables import Table
from service.core.writes import merge
from tests.support.backup_files import DEPARTMENTS, ORIGIN, avro_file, records, values

BLOCKS = 6
ROWS = 60
CONTENT = avro_file(DEPARTMENTS, records(DEPARTMENTS, ROWS), page=ROWS // BLOCKS)
SIGNAL = "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = {}"


@pytest.fixture(params=["on_disk", "in_memory"])
def file(request: pytest.FixtureRequest) -> Iterator[IO[bytes]]:
    with io.BytesIO() if request.param == "in_memory" else tempfile.TemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        yield file


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a block takes longer than the pause before an attempt."""
    rows = container.Container.rows

    def slowly(self: container.Container, block: container.Block) -> bytes:
        time.sleep(0.05)
        return rows(self, block)

    monkeypatch.setattr(container.Container, "rows", slowly)


@pytest.fixture
def undone_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """The server rolls the first attempt back after a number of blocks, with an error number."""
    insert = merge.insert

    def arrange(at: int, number: int) -> None:
        calls = iter(range(1000))

        async def once(transaction: Transaction, table: Table, rows: Sequence[Any]) -> None:
            await insert(transaction, table, rows)
            if next(calls) == at:
                await transaction.execute(SIGNAL.format(number))

        monkeypatch.setattr(merge, "insert", once)

    return arrange


@pytest.mark.parametrize("number", [1205, 1213])
@pytest.mark.parametrize("at", range(BLOCKS))
async def test_an_attempt_does_not_disturb_the_next(
    database: Database,
    file: IO[bytes],
    slow_disk: None,
    undone_at: Callable[[int, int], None],
    at: int,
    number: int,
) -> None:
    undone_at(at, number)
    (done,) = await restore(database, [(DEPARTMENTS, file)], "replace")
    assert (database.retries, done.added, done.verified) == (1, ROWS, True)
    assert await database.fetch("SELECT COUNT(*) FROM departments") == [(ROWS,)]


async def test_attempts_share_no_position_and_no_checksum(file: IO[bytes]) -> None:
    one, other = (readers([(DEPARTMENTS, file)])[0] for _ in range(2))
    read: list[list[Any]] = [[], []]
    for pages in zip(one, other, strict=True):
        file.seek(7)
        for rows, page in zip(read, pages, strict=True):
            rows.extend(page)
    one.check()
    other.check()
    assert read == [records(DEPARTMENTS, ROWS)] * 2


async def test_a_file_whose_checksum_is_wrong_is_refused_at_every_attempt(
    database: Database, undone_at: Callable[[int, int], None]
) -> None:
    undone_at(0, 1213)
    writer = Writer(DEPARTMENTS, "deflate", ORIGIN)
    block = writer.block(values(records(DEPARTMENTS, ROWS)), Checksum(ROWS, 0))
    file = io.BytesIO(writer.header + block + writer.end())
    with pytest.raises(BackupError, match="damaged"):
        await restore(database, [(DEPARTMENTS, file)], "replace")
    assert database.retries == 1
    assert await database.fetch("SELECT COUNT(*) FROM departments") == [(0,)]


@pytest.mark.parametrize("rows", [1, ROWS, 3000])
async def test_a_zip_without_a_manifest_is_restored(database: Database, rows: int) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("departments.avro", avro_file(DEPARTMENTS, records(DEPARTMENTS, rows)))
    async with opened(packed) as sources:
        (done,) = await restore(database, sources, "replace")
    assert (done.added, done.verified) == (rows, True)
