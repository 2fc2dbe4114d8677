"""Verification finds every changed row and every truncation."""

from __future__ import annotations

import io
import itertools
import random
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service.core.backups.format.avro import Reader
from service.core.backups.format.codecs import CODECS, Codec
from service.core.backups.sources import sources
from service.core.errors import BackupError, HirebaseError
from tests.support.backup_files import (
    DEPARTMENTS,
    EMPLOYEES,
    JOBS,
    MOMENT,
    avro_file,
    pieces,
    records,
    verified,
    zip_file,
)
from tests.support.releases import RELEASES

FLIPS = 2000
RELEASED = [backup for release in RELEASES for backup in release.backups]
SMALL = {DEPARTMENTS: 3, JOBS: 5, EMPLOYEES: 30}


def archive() -> bytes:
    return zip_file(
        {table: avro_file(table, records(table, rows)) for table, rows in SMALL.items()}
    )


def hires(codec: Codec = "deflate") -> bytes:
    return avro_file(EMPLOYEES, records(EMPLOYEES, 120), codec, page=40)


def rows(content: bytes) -> list[Any]:
    """The records of every table in a backup."""
    with ExitStack() as stack:
        return [list(Reader(table, file)) for table, file in sources(io.BytesIO(content), stack)]


def passes(content: bytes) -> bool:
    try:
        verified(content)
    except HirebaseError:
        return False
    return True


FILES: dict[str, bytes] = {codec: hires(codec) for codec in CODECS}
FILES["zip"] = archive()


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_backup_is_verified(kind: str) -> None:
    found = verified(FILES[kind])
    assert found.verified
    assert found.tables[-1].rows == (30 if kind == "zip" else 120)
    assert found.tables[-1].snapshot_at == MOMENT


@pytest.mark.parametrize("kind", FILES)
def test_a_flipped_bit_is_found_or_changes_no_row(kind: str) -> None:
    content = FILES[kind]
    bits = random.Random(1).sample(range(len(content) * 8), FLIPS)
    unnoticed = [copy for bit in bits if passes(copy := flipped(content, bit))]
    assert all(rows(copy) == rows(content) for copy in unnoticed)
    assert len(unnoticed) < FLIPS / 4


@pytest.mark.parametrize("kind", FILES)
def test_every_truncation_is_found(kind: str) -> None:
    content = FILES[kind]
    assert [size for size in range(len(content)) if passes(content[:size])] == []


@pytest.mark.parametrize("kind", CODECS)
def test_appended_bytes_are_found(kind: str) -> None:
    assert not passes(FILES[kind] + b"\x00")


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_backups_of_released_versions_are_verified(path: Path) -> None:
    found = verified(path.read_bytes())
    assert found.verified
    assert found.tables[-1].rows == 33


def test_a_missing_or_repeated_block_is_found() -> None:
    head, one, two, end = pieces(JOBS, records(JOBS, 5), page=4)
    assert passes(head + one + two + end)
    for wrong in (b"", one + two, one + end, two + end, one + two + two + end, end):
        assert not passes(head + wrong)


@pytest.mark.parametrize("codec", CODECS)
def test_blocks_in_another_order_are_found(codec: Codec) -> None:
    head, *blocks, end = pieces(JOBS, records(JOBS, 9), codec, page=3)
    for order in itertools.product(range(3), repeat=3):
        content = head + b"".join(blocks[at] for at in order) + end
        if order == (0, 1, 2):
            assert passes(content)
            continue
        wrong = next(at for at in range(3) if order[at] <= (order[at - 1] if at else -1))
        with pytest.raises(BackupError, match=f"damaged in block {wrong + 1}, .* it has the id"):
            verified(content)


def test_exchanged_values_are_found() -> None:
    """Two rows with the same change, which a plain XOR of CRCs does not notice."""
    from service.core.backups.format.checksum import TableChecksum

    rows = records(EMPLOYEES, 10)
    changed = [dict(row) for row in rows]
    changed[0]["job_id"], changed[5]["job_id"] = changed[1]["job_id"], changed[6]["job_id"]
    changed[1]["job_id"], changed[6]["job_id"] = rows[0]["job_id"], rows[5]["job_id"]
    total = TableChecksum(EMPLOYEES)
    assert total(rows) != total(changed)
    assert total(rows) == total(rows[:4]) + total(rows[4:]) == total(rows[::-1])


@pytest.mark.parametrize("name", ["departments.avro", "manifest.json"])
def test_an_archive_without_an_entry_says_which(name: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive())) as whole, zipfile.ZipFile(out, "w") as other:
        for info in whole.infolist():
            if info.filename != name:
                other.writestr(info.filename, whole.read(info))
    if name == "manifest.json":
        assert len(verified(out.getvalue()).tables) == 3
    else:
        with pytest.raises(HirebaseError):
            verified(out.getvalue())


def test_an_empty_table_is_verified() -> None:
    assert verified(avro_file(JOBS, [])).verified


def flipped(content: bytes, bit: int) -> bytes:
    copy = bytearray(content)
    copy[bit // 8] ^= 1 << bit % 8
    return bytes(copy)
