"""Blocks that are missing, doubled, exchanged or of another file are found, in every codec."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain, permutations

import pytest
from msgspec import structs

from service.core.backups.format import container, totals
from service.core.backups.format.checksum import Checksum
from service.core.backups.format.codecs import CODECS, Codec, compress
from service.core.errors import BackupError
from tests.support import backup_files
from tests.support.backup_files import EMPLOYEES, ORIGIN, pieces, records, verified

ROWS = records(EMPLOYEES, 40)
OTHERS = [{**row, "job_id": row["job_id"] % 5 + 1} for row in ROWS]
LATER = structs.replace(ORIGIN, snapshot_at="2026-01-02T03:04:06Z")


def as_file(parts: list[bytes]) -> bytes:
    return b"".join(parts)


def as_zip(parts: list[bytes]) -> bytes:
    """Without a manifest, whose SHA-256 would find any change."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("hired_employees.avro", b"".join(parts))
    return out.getvalue()


def changed(parts: list[bytes], others: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """What can happen to a header, four blocks and their totals."""
    head, *blocks, end = parts
    _, *foreign, foreign_end = others
    for order in permutations(range(len(blocks))):
        if order != tuple(range(len(blocks))):
            yield f"order {order}", [head, *(blocks[at] for at in order), end]
    for at in range(len(blocks)):
        before, one, after = blocks[:at], blocks[at], blocks[at + 1 :]
        yield f"{at} is missing", [head, *before, *after, end]
        yield f"{at} is doubled", [head, *before, one, one, *after, end]
        yield f"{at} is repeated at the end", [head, *blocks, one, end]
        yield f"{at} is of another file", [head, *before, foreign[at], *after, end]
        yield f"the totals are before {at}", [head, *before, end, one, *after]
        yield f"it is cut before {at}", [head, *before]
        yield f"it is cut before {at}, with totals", [head, *before, end]
    yield "without totals", [head, *blocks]
    yield "with the totals of another file", [head, *blocks, foreign_end]
    yield "with two totals", [head, *blocks, end, end]
    yield "with two different totals", [head, *blocks, foreign_end, end]
    yield "without a header", [*blocks, end]
    yield "with the header twice", [head, head, *blocks, end]
    yield "only totals", [head, end]
    yield "only a header", [head]
    yield "the header of another file", [others[0], *blocks, end]


def passes(content: bytes) -> bool:
    try:
        verified(content)
    except BackupError:
        return False
    return True


@pytest.mark.parametrize("pack", [as_file, as_zip])
@pytest.mark.parametrize("codec", CODECS)
def test_every_change_of_blocks_is_found(
    codec: Codec, pack: Callable[[list[bytes]], bytes]
) -> None:
    whole = pieces(EMPLOYEES, ROWS, codec, page=10)
    same_header = pieces(EMPLOYEES, OTHERS, codec, page=10)
    same_rows = pieces(EMPLOYEES, ROWS, codec, page=10, origin=LATER)
    assert verified(pack(whole)).tables[0].rows == 40
    changes = chain(changed(whole, same_header), changed(whole, same_rows))
    # Another file may have the same block, byte by byte.
    unnoticed = [what for what, parts in changes if parts != whole and passes(pack(parts))]
    assert unnoticed == []


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        totals.write(Checksum(40, 5)),
        totals.write(Checksum(39, 5)),
        totals.write(Checksum(-1, 5)),
        totals.write(Checksum(40, 1 << 62)) + b"\x00",
        totals.write(Checksum(40, 5))[1:],
        bytes(1000),
        b"\xff" * 100,
    ],
)
def test_totals_that_are_wrong_or_no_totals_are_found(codec: Codec, data: bytes) -> None:
    head, *blocks, _ = pieces(EMPLOYEES, ROWS, codec, page=10)
    end = container.write_block(0, compress(codec, data), head[-container.SYNC :])
    with pytest.raises(BackupError, match="totals"):
        verified(as_file([head, *blocks, end]))


def test_an_id_that_repeats_inside_a_block_is_found() -> None:
    for at, key in ((3, 3), (3, 2), (0, 2)):
        rows = [dict(row) for row in ROWS]
        rows[at]["id"] = key
        with pytest.raises(BackupError, match=r"in block 1, .* it has the id"):
            verified(as_file(pieces(EMPLOYEES, rows)))


def test_a_zip_over_4_gib_has_entries_in_zip64(monkeypatch: pytest.MonkeyPatch) -> None:
    """A low limit makes the directory of a small archive like that of a large one."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    content = backup_files.zip_file({EMPLOYEES: as_file(pieces(EMPLOYEES, ROWS))})
    assert b"PK\x06\x06" in content
    monkeypatch.undo()
    assert verified(content).tables[0].rows == 40


def test_a_deflated_zip_is_verified() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("hired_employees.avro", as_file(pieces(EMPLOYEES, ROWS)))
    assert verified(out.getvalue()).tables[0].rows == 40
