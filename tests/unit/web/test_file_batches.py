"""Files without ids in batches: every row once, whatever the text, and none larger than allowed."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.core.rules import batch, formats
from service.core.tables import Table, by_path
from service.web.console import file_batches
from service.web.console.file_batches import CSV, NDJSON, Part, kind_of, parts

JOBS = by_path("jobs")
EMPLOYEES = by_path("employees")
LONGEST, BYTES, ROWS = 40, 60, 4

LINES = st.lists(
    st.one_of(
        st.binary(max_size=2 * LONGEST).map(lambda line: line.replace(b"\n", b"")),
        st.sampled_from([b'{"job": "Clerk"}', b'{"job": ""}', b" \t", b"\r", b"null"]),
        st.integers(LONGEST - 2, LONGEST + 2).map(lambda size: b"x" * size),
    )
)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Limits so low that examples reach them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_batches, "LONGEST", LONGEST)
        patch.setattr(file_batches, "BYTES", BYTES)
        patch.setattr(file_batches, "MAX_ROWS", ROWS)
        yield


def split(kind: str, content: bytes, table: Table = JOBS) -> list[Part]:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        return list(parts(table, kind, Path(file.name)))


@given(LINES, st.booleans())
@example([b"x" * LONGEST, b"x" * (LONGEST + 1)], False)
@example([b" " * (3 * LONGEST), b'{"job": "Clerk"}' + b" " * LONGEST], True)
def test_every_line_of_ndjson_is_one_row(lines: list[bytes], ended: bool) -> None:
    content = b"\n".join(lines) + (b"\n" if ended and lines else b"")
    found = split(NDJSON, content)
    rows = [line for line in lines if line.strip() or len(line) > LONGEST]
    assert sum(part.judged.received for part in found) == len(rows)
    verdicts = {
        before + reject.position: reject.errors
        for before, part in _numbered(found)
        for reject in part.judged.rejects
    }
    for at, line in enumerate(rows):
        if len(line) > LONGEST:
            assert f"is {len(line)} bytes long" in verdicts[at][0].message
        else:
            assert verdicts.get(at, []) == _alone(line)


def _numbered(found: list[Part]) -> list[tuple[int, Part]]:
    before, numbered = 0, []
    for part in found:
        numbered.append((before, part))
        before += part.judged.received
    return numbered


def _alone(line: bytes) -> list[object]:
    rejects = formats.from_ndjson(JOBS, line).rejects
    return [*rejects[0].errors] if rejects else []


@given(LINES)
def test_no_batch_is_larger_than_allowed_and_all_are_the_same_again(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    found = split(NDJSON, content)
    for part in found:
        assert 1 <= part.judged.received <= ROWS
        assert len(part.body) <= max(BYTES, LONGEST) + ROWS
    assert [part.body for part in split(NDJSON, content)] == [part.body for part in found]


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=1))
def test_rows_of_csv_are_those_that_a_csv_writer_wrote(names: list[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("job",), *((name,) for name in names)])
    found = split(CSV, text.getvalue().encode())
    assert sum(part.judged.received for part in found) == len(names)
    good = [row[0] for part in found for row in part.judged.rows]
    assert good == [name.strip(" \t") for name in names if _is_good(name)]
    assert all(part.judged.received <= ROWS for part in found)


def _is_good(name: str) -> bool:
    # A line end in a quoted field is LF by then.
    text = name.replace("\r\n", "\n").replace("\r", "\n").strip(" \t")
    return not batch.from_texts(JOBS, [[text]], with_id=False).rejects


def test_columns_stand_in_any_order() -> None:
    text = b"job_id,Name,department_id,datetime\n1,Ana,2,2021-07-27T16:02:08Z\n"
    (part,) = split(CSV, text, EMPLOYEES)
    assert part.judged.rows == [("Ana", "2021-07-27T16:02:08", 2, 1)]


@pytest.mark.parametrize(
    ("start", "kind"),
    [(b'{"job": 1}', NDJSON), (b"\xef\xbb\xbf{", NDJSON), (b"job\nA", CSV), (b"1,Clerk", None)],
)
def test_the_format_is_seen_at_the_beginning(tmp_path: Path, start: bytes, kind: str) -> None:
    (tmp_path / "file").write_bytes(start)
    assert kind_of(JOBS, tmp_path / "file") == kind
