"""Validates the blocks of a large file in other processes, so that several cores do it.

A process gets the bytes of a block. It returns the rows, as parameters of a statement, and the
rejects. The rest stays in this process: the order of blocks, checkpoints and transactions.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import wait
from threading import Thread
from typing import BinaryIO

from loader.memory import keep_free_memory
from loader.reading.blocks import pieces_of
from loader.reading.file import CsvFile
from loader.reading.pieces import Piece
from loader.reading.splitter import Block
from service.core.errors import StoppedError
from service.core.garbage_collection import collect_rarely
from service.core.rules.batch import Batch, Records, Row
from service.core.rules.reject import Reject
from service.core.rules.text_columns import Parents
from service.core.writes.checkpoint import Position

FIRST = 4
"""So many blocks are validated here. So a small file starts no process, and the database has work
until the processes of a large file have started."""
AHEAD = 2
"""Blocks that each process has at a time, so that it need not wait for the next one."""
ENDED = (
    "A process that checks rows has ended: it was killed, or the machine is short of memory. The "
    "rows loaded so far stay. Run the same command again to continue; with --workers 2 there are "
    "no such processes."
)

_files: list[CsvFile] = []
"""In such a process: the file whose blocks it validates."""


@dataclass(frozen=True)
class Validated:
    """What a process returns: where the block ends, its lines and keys, and parts of its batch."""

    end: Position
    lines: Sequence[int]
    keys: list[str]
    rows: list[Row]
    positions: Sequence[int]
    rejects: list[Reject]
    parents: Parents


def validated(file: CsvFile, start: Position, processes: int = 0) -> Generator[tuple[Block, Batch]]:
    """The blocks from `start` on, each with its batch; processes: 0 for this process alone.

    Blocks that another process validated have no records and no texts. StoppedError if such a
    process ends.
    """
    with closing(file.blocks(start)) as blocks:
        for block in islice(blocks, FIRST if processes else None):
            yield block, file.validate(block)
            start = block.end
    if processes and start.byte < file.size:
        yield from _in_processes(file, start, processes)


def _in_processes(file: CsvFile, start: Position, processes: int) -> Iterator[tuple[Block, Batch]]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, context, _prepare, (file,))
    try:
        with file.source.open() as content:
            yield from _handed_over(file, content, start, pool, processes * AHEAD)
    except BrokenProcessPool as error:
        # The pool ends the others by SIGTERM, which is blocked. One of them may wait for a lock
        # that the ended one held. The loader starts no other processes.
        for process in multiprocessing.active_children():
            process.kill()
        raise StoppedError(ENDED) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _handed_over(
    file: CsvFile, content: BinaryIO, start: Position, pool: ProcessPoolExecutor, ahead: int
) -> Iterator[tuple[Block, Batch]]:
    pieces = pieces_of(content, start, file.block_bytes)
    handed: deque[tuple[Piece, Future[Validated]]] = deque()
    while True:
        while len(handed) < ahead and (piece := pieces.read()):
            with _blocked_signals():
                handed.append((piece, pool.submit(_validate, piece)))
        if not handed:
            break
        piece, future = handed.popleft()
        found = future.result()
        if not pieces.confirm(piece, found.end):
            for _, unwanted in handed:
                unwanted.cancel()
            handed.clear()
        file.source.check_unchanged(file.version)
        if found.lines:
            yield _joined(file, piece, found)
    file.source.check_unchanged(file.version)


def _joined(file: CsvFile, piece: Piece, found: Validated) -> tuple[Block, Batch]:
    block = Block(piece.start, found.end, [], found.lines, [], keys=found.keys)
    # The texts are needed only if the database refuses rows: then the piece is split again.
    records = Records(lambda: file.split(piece).texts, file.layout.original)
    received, rows = len(found.lines), found.rows
    batch = Batch(
        *(file.source.table, received, records, rows, found.positions),
        rejects=found.rejects,
        parents=found.parents,
    )
    return block, batch


@contextmanager
def _blocked_signals() -> Iterator[None]:
    """Block Ctrl-C and SIGTERM in processes that start meanwhile: they end with this process."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare(file: CsvFile) -> None:
    _files.append(file)
    collect_rarely()
    keep_free_memory()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End when the first process has ended, also by kill -9. The pool does not see to that."""
    if parent := multiprocessing.parent_process():
        wait([parent.sentinel])
        os._exit(1)


def _validate(piece: Piece) -> Validated:
    (file,) = _files
    block = file.split(piece)
    batch = file.validate(block)
    parts = (batch.rows, batch.positions, batch.rejects, batch.parents)
    return Validated(block.end, block.lines, block.keys, *parts)
