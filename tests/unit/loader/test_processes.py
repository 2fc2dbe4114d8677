"""Blocks that other processes validate equal those of one process; a killed process is an error."""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from loader.options import Options
from loader.reading import blocks as reading
from loader.reading import processes
from loader.reading.blocks import blocks, pieces_of, splitter_of
from loader.reading.file import CsvFile
from loader.reading.layout import layout_of
from loader.reading.pieces import Piece
from loader.reading.processes import FIRST, validated
from loader.reading.source import Source
from loader.reading.splitter import Block
from service.core.errors import StoppedError
from service.core.rules.batch import Batch
from service.core.tables import by_name
from service.core.writes.checkpoint import Position
from tests.support.csv_files import HIRES, dirty, hire

SIZE = 64
LINES = [
    *dirty(40),
    "",
    '7,"a\nb",2021-03-04T05:06:07Z,1,1',
    '8,"open',
    '"',
    "x" * 300,
    "é,\0",
    "\r",
]
PARTS = [b"1,a", b'"', b"\n", b"\r", b"\r\n", b'"x\ny"', b",", b"\xe9"]


def hires(folder: Path, content: bytes) -> CsvFile:
    """A file with this content, in small blocks."""
    path = folder / "hired_employees.csv"
    path.write_bytes(content)
    return CsvFile.detect(Source(HIRES, path, path.name), Options(folder, folder), block_bytes=SIZE)


def parts(found: Iterator[tuple[Block, Batch]]) -> list[Any]:
    """All of each block: its place, lines, rows, rejects, and its records for later rejects."""
    return [
        (
            *(block.start, block.end, list(block.lines), one.received, one.rows),
            block.keys,
            *(list(one.positions), one.rejects, one.parents, list(one.records.raws)),
        )
        for block, one in found
    ]


@given(st.lists(st.sampled_from(PARTS), min_size=20), st.integers(1, 4))
def test_pieces_that_are_read_ahead_give_the_same_blocks(found: list[bytes], ahead: int) -> None:
    content, jobs = b"".join([b"0,0\n", *found]), by_name("jobs")
    layout = layout_of(jobs, (), ",")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "LONGEST", 32)
        expected = list(blocks(BytesIO(content), layout, Position(), size=8))
        assert list(_read_ahead(content, layout, ahead)) == expected


def _read_ahead(content: bytes, layout: Any, ahead: int) -> Iterator[Block]:
    pieces, splitter = pieces_of(BytesIO(content), Position(), 8), splitter_of(layout)
    waiting: deque[Piece] = deque()
    while True:
        while len(waiting) < ahead and (piece := pieces.read()):
            waiting.append(piece)
        if not waiting:
            return
        piece = waiting.popleft()
        block = splitter.block(piece)
        if not pieces.confirm(piece, block.end):
            waiting.clear()
        if block.records:
            yield block


@settings(
    max_examples=5,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=st.lists(st.sampled_from(LINES), min_size=60), ends=st.sampled_from(["\n", "\r\n"]))
def test_other_processes_validate_a_dirty_file_like_one(
    tmp_path: Path, lines: list[str], ends: str
) -> None:
    file = hires(tmp_path, ends.join(lines).encode())
    alone = parts(validated(file, file.start))
    assert parts(validated(file, file.start, 2)) == alone
    assert len(alone) > FIRST


def test_other_processes_find_the_keys_of_corrected_rejects(tmp_path: Path) -> None:
    lines = [f"{at},wrong,key{at},{hire(at)}" for at in range(1, 60)]
    header = "line,errors,reject,id,name,datetime,department_id,job_id"
    file = hires(tmp_path, "\n".join([header, *lines]).encode())
    alone = parts(validated(file, file.start))
    assert parts(validated(file, file.start, 1)) == alone
    assert len(alone) > FIRST
    assert "key59" in alone[-1][5]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_is_an_error_and_no_process_remains(tmp_path: Path, victim: int) -> None:
    file = hires(tmp_path, "\n".join(hire(at) for at in range(2000)).encode())
    found = validated(file, file.start, 2)
    for _ in range(FIRST + 1):
        next(found)
    time.sleep(1)  # both have nothing to do, and one of them holds the lock of their queue
    multiprocessing.active_children()[victim].kill()
    with pytest.raises(StoppedError, match="Run the same command again"):
        list(found)
    assert multiprocessing.active_children() == []


def test_a_load_that_stops_leaves_no_process(tmp_path: Path) -> None:
    file = hires(tmp_path, "\n".join(hire(at) for at in range(2000)).encode())
    with closing(validated(file, file.start, 2)) as found:
        for _ in range(FIRST + 2):
            next(found)
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []


def test_a_small_file_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ProcessPoolExecutor", None)
    file = hires(tmp_path, hire(1).encode())
    assert len(parts(validated(file, file.start, 2))) == 1
