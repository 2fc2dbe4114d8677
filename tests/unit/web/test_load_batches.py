"""Files of rows without ids in batches: each row once, for any text, in batches of limited size."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from loader.reading.source import GZIP, Source
from loader.reporting.rejects_file import quoted
from service.core.errors import TooLargeError
from service.core.rules import batch, formats
from service.core.tables import Table, by_path
from service.web.console.loads import batches as load_batches
from service.web.console.loads.batches import (
    CSV,
    NDJSON,
    RECORDS,
    FileBatch,
    batches,
    format_of,
    size_of,
)

JOBS = by_path("jobs")
EMPLOYEES = by_path("employees")
LONGEST, BYTES, ROWS = 40, 60, 4

LINES = st.lists(
    st.one_of(
        st.binary(max_size=2 * LONGEST)
        .map(lambda line: line.replace(b"\n", b""))
        .filter(lambda line: not line.startswith(GZIP)),
        st.sampled_from([b'{"job": "Clerk"}', b'{"job": ""}', b" \t", b"\r", b"null"]),
        st.integers(LONGEST - 2, LONGEST + 2).map(lambda size: b"x" * size),
    )
)


@pytest.fixture(autouse=True, scope="module")
def small_limits() -> Iterator[None]:
    """Limits so low that examples reach them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load_batches, "LONGEST", LONGEST)
        patch.setattr(load_batches, "BYTES", BYTES)
        patch.setattr(load_batches, "MAX_ROWS", ROWS)
        yield


def split(kind: str, content: bytes, table: Table = JOBS) -> list[FileBatch]:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        return list(batches(source(Path(file.name), table), kind))


def source(path: Path, table: Table = JOBS) -> Source:
    return Source(table, path, path.name)


@given(LINES, st.booleans())
@example([b"x" * LONGEST, b"x" * (LONGEST + 1)], False)
@example([b" " * (3 * LONGEST), b'{"job": "Clerk"}' + b" " * LONGEST], True)
def test_every_line_of_ndjson_is_one_row(lines: list[bytes], ended: bool) -> None:
    content = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    assume(not content.startswith(codecs.BOM_UTF8))  # a mark of the file, not of its first row
    split_batches = split(NDJSON, content)
    rows = {
        number: line for number, line in enumerate(lines, 1) if line.strip() or len(line) > LONGEST
    }
    assert [number for one in split_batches for number in one.lines] == [*rows]
    errors = {
        one.lines[reject.position]: reject.errors
        for one in split_batches
        for reject in one.rows.rejects
    }
    for number, line in rows.items():
        if len(line) > LONGEST:
            assert f"is {len(line)} bytes long" in errors[number][0].message
        else:
            assert errors.get(number, []) == _alone(line)


def _alone(line: bytes) -> list[object]:
    rejects = formats.from_ndjson(JOBS, line).rejects
    return [*rejects[0].errors] if rejects else []


@given(LINES)
def test_batches_have_a_limited_size_and_are_the_same_in_each_run(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    split_batches = split(NDJSON, content)
    for one in split_batches:
        assert 1 <= one.rows.received <= ROWS
        assert len(one.body) <= max(BYTES, LONGEST) + ROWS
    bodies = [one.body for one in split_batches]
    assert [one.body for one in split(NDJSON, content)] == bodies
    assert [one.body for one in split(NDJSON, gzip.compress(content))] == bodies


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=1))
def test_rows_of_csv_are_those_that_a_csv_writer_wrote(names: list[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("job",), *((name,) for name in names)])
    split_batches = split(CSV, text.getvalue().encode())
    assert sum(one.rows.received for one in split_batches) == len(names)
    good = [row[0] for one in split_batches for row in one.rows.rows]
    assert good == [name.strip(" \t") for name in names if _is_good(name)]
    assert all(one.rows.received <= ROWS for one in split_batches)


def _is_good(name: str) -> bool:
    # A line end in a quoted field is LF by then.
    text = name.replace("\r\n", "\n").replace("\r", "\n").strip(" \t")
    return not batch.from_texts(JOBS, [[text]], with_id=False).rejects


def test_columns_may_have_any_order() -> None:
    text = b"job_id,Name,department_id,datetime\n1,Ana,2,2021-07-27T16:02:08Z\n"
    (one,) = split(CSV, text, EMPLOYEES)
    assert one.rows.rows == [("Ana", "2021-07-27T16:02:08", 2, 1)]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\n", "  \n\t\n", '""\n', ' "" \n\n'])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_header_is_not_a_row_after_blank_lines_or_with_any_line_end(
    tmp_path: Path, before: str, end: str, pack: Callable[[bytes], bytes]
) -> None:
    text = f'{before}Job\nClerk\n"Baker, \nArt"\nCook'.replace("\n", end)
    (tmp_path / "file").write_bytes(pack(text.encode()))
    assert format_of(source(tmp_path / "file")) == CSV
    split_batches = list(batches(source(tmp_path / "file"), CSV))
    assert [row for one in split_batches for row in one.rows.rows] == [("Clerk",), ("Cook",)]
    first = before.count("\n") + 2
    lines = [number for one in split_batches for number in one.lines]
    assert lines == [first, first + 1, first + 3]


@pytest.mark.parametrize("over", [0, 1])
def test_a_file_has_a_limited_size_after_decompression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: int
) -> None:
    monkeypatch.setattr(load_batches, "MAX_UNPACKED", 1 << 20)
    (tmp_path / "file").write_bytes(gzip.compress(b"x" * ((1 << 20) + over)))
    if over:
        with pytest.raises(TooLargeError, match="Decompressed"):
            size_of(source(tmp_path / "file"))
    else:
        assert size_of(source(tmp_path / "file")) == 1 << 20


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b'{"job": 1}', NDJSON),
        (b"\xef\xbb\xbf{", NDJSON),
        (gzip.compress(b"{", mtime=0), NDJSON),
        (b"job\nA", CSV),
        (b"1,Clerk", None),
        (b"", None),
    ],
)
def test_the_start_of_a_file_decides_its_format(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "file").write_bytes(start)
    assert format_of(source(tmp_path / "file")) == kind


def test_only_the_rows_of_a_rejects_file_are_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a good row, its text is never made."""
    made: list[str] = []

    def counting(text: str) -> str:
        made.append(text)
        return quoted(text)

    monkeypatch.setattr(load_batches, "quoted", counting)
    (one,) = split(NDJSON, b'{"job": "Clerk"}\n{"job": ""}\n')
    assert made == []
    assert one.text(1) == quoted('{"job": ""}')
    head = b"line,errors,reject,record\n"
    (one,) = split(RECORDS, head + b'1,x,,"{""job"": ""A""}"\n2,x,,"{""job"": """"}"\n')
    assert len(made) == 1
    assert one.text(1) == quoted('{"job": ""}')
    (one,) = split(CSV, b'job\nClerk\n""\n')
    assert one.text(0) == "Clerk"
