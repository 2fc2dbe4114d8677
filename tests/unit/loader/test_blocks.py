"""Reading records from CSV files: fields, lines and texts, in blocks."""

from __future__ import annotations

import csv
import gzip
import io
import time
import timeit
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loader.reading import blocks as reading
from loader.reading.blocks import beginning, blocks
from loader.reading.layout import layout_of
from loader.reading.splitter import NEVER_CLOSED, NOT_UTF8, TOO_LONG, Block, Splitter
from service.core.errors import InputError
from service.core.tables import by_name
from service.core.writes.checkpoint import Position

JOBS, HIRES = by_name("jobs"), by_name("hired_employees")


class Read(NamedTuple):
    """A record, its line and its error."""

    line: int
    fields: list[str]
    text: str
    malformed: str | None


def read_blocks(content: bytes, delimiter: str = ",", table: Any = JOBS) -> list[Block]:
    file = io.BytesIO(content)
    start, first = beginning(file, delimiter)
    return list(blocks(file, layout_of(table, first, delimiter), start))


def records_of(found: list[Block]) -> list[Read]:
    return [
        Read(
            block.lines[at],
            list(fields),
            block.texts[at],
            block.malformed[at].message if at in block.malformed else None,
        )
        for block in found
        for at, fields in enumerate(block.records)
    ]


def read(content: bytes, delimiter: str = ",", table: Any = JOBS) -> list[Read]:
    return records_of(read_blocks(content, delimiter, table))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK", 16)
    monkeypatch.setattr(reading, "LONGEST", 64)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", ["", "end"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_every_line_end_and_byte_order_mark(end: str, last: str, mark: bytes) -> None:
    content = end.join(["1,Cook", "", "  ", "2,Baker"]) + (end if last else "")
    assert read(mark + content.encode()) == [
        Read(1, ["1", "Cook"], "1,Cook", None),
        Read(4, ["2", "Baker"], "2,Baker", None),
    ]


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("1, Cook ", ["1", "Cook"]),
        ("1,Cook ", ["1", "Cook"]),
        ('1,"Cook, head"', ["1", "Cook, head"]),
        ('1 , "The ""Cook""" ', ["1", 'The "Cook"']),
        ('1,"a\nb"', ["1", "a\nb"]),
        ('1,Cook "the knife"', ["1", 'Cook "the knife"']),
        ('"1",""', ["1", ""]),
        (",", ["", ""]),
        ("1,a,b", ["1", "a", "b"]),
        ("1", ["1"]),
        ("1,nul\0", ["1", "nul\0"]),
        ("1," + "x" * 200_000, ["1", "x" * 200_000]),
        ('1,"' + "x" * 200_000 + '"', ["1", "x" * 200_000]),
    ],
    ids=range(13),
)
def test_fields(line: str, fields: list[str]) -> None:
    lines = 1 + line.count("\n")
    assert read(f"{line}\n2,next".encode()) == [
        Read(1, fields, line, None),
        Read(1 + lines, ["2", "next"], "2,next", None),
    ]
    assert read(line.encode()) == [Read(1, fields, line, None)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'2,"open', NEVER_CLOSED),
        (b'2,"stray"quote', NEVER_CLOSED),
        (b"2,Caf\xe9", NOT_UTF8),
        (b'2,"Caf\xe9, x"', NOT_UTF8),
    ],
)
def test_a_malformed_record_does_not_affect_the_next_ones(line: bytes, message: str) -> None:
    found = read(b'1,a\n%b\n3,"c, d"\n4,e\n' % line)
    assert [(one.line, one.malformed) for one in found] == [
        (1, None),
        (2, message),
        (3, None),
        (4, None),
    ]
    assert found[2].fields == ["3", "c, d"]
    assert found[1].text == line.decode(errors="backslashreplace")


def test_open_quotes_do_not_swallow_the_records_between_them() -> None:
    lines = ["1,a", '2,"', "3,c", '4,"', "5,e", '6,f"', '7,"g', '8,5 feet 6"', '9,"x, ""y"""']
    found = read("\n".join(lines).encode())
    assert [one.line for one in found if one.malformed] == [2, 4, 7]
    assert [one.line for one in found] == list(range(1, 10))


@pytest.mark.usefixtures("small_blocks")
def test_the_search_for_a_closing_quote_has_a_limit() -> None:
    rest = [f"plain {number}" for number in range(2, 60)]
    found = read("\n".join(['1,"open', *rest]).encode())
    assert found[0] == Read(1, [], '1,"open', NEVER_CLOSED)
    assert [one.line for one in found] == list(range(1, 60))
    assert not any(one.malformed for one in found[1:])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("length", [61, 62, 64, 65, 79, 80, 81, 1000])
def test_a_line_that_is_too_long_is_one_reject(end: bytes, length: int) -> None:
    found = read(b"1,a" + end + b"x" * length + end + b"3,c" + end)
    assert [one.line for one in found] == [1, 2, 3]
    assert [one.malformed for one in found] == [None, TOO_LONG if length > 63 else None, None]
    assert found[2].fields == ["3", "c"]


@pytest.mark.parametrize("line", ['z",x,"q', 'x,"'])
@pytest.mark.parametrize("last", ["", "5,a\n", '"junk\n', '"\n'])
def test_the_time_for_open_quotes_is_linear(line: str, last: str) -> None:
    def seconds(count: int) -> float:
        # timeit turns garbage collection off: its time depends on all other tests.
        data = (f"{line}\n" * count + last).encode()
        return min(timeit.repeat(lambda: read(data), timer=time.process_time, number=1, repeat=3))

    assert seconds(8000) < 16 * 6 * max(seconds(500), 0.001)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\r\n  \n"])
def test_a_file_without_records(content: bytes) -> None:
    assert read(content) == []


@pytest.mark.parametrize(
    "content",
    [
        "id;name;job_id;department_id;datetime\n7;N;4;3;D",
        "ID ; Name;job_id;department_id;DateTime\r7;N;4;3;D",
    ],
)
def test_a_header_in_any_order(content: str) -> None:
    (found,) = read(content.encode(), ";", HIRES)
    assert found == Read(2, ["7", "N", "D", "3", "4"], "7;N;4;3;D", None)


def test_the_reasons_of_a_rejects_file_are_not_part_of_the_record() -> None:
    content = 'line,errors,id,job\n9,"a, b",1,Cook\n12,why,3\n13,why,4,"a, b"\n'
    layout = layout_of(JOBS, ["line", "errors", "id", "job"], ",")
    found = read(content.encode())
    assert [one.fields for one in found] == [["1", "Cook"], ["3"], ["4", "a, b"]]
    assert [layout.original(one.text) for one in found] == ["1,Cook", "3", '4,"a, b"']


def test_a_rejects_file_names_its_rejects() -> None:
    layout = layout_of(JOBS, ["line", "errors", "reject", "id", "job"], ",")
    texts = [
        '9,"a, b",f:9,1,Cook',
        "9,why,f:9",
        "",
        '9,why, "f:9" ,1,"a\nb"',
        '9,"open,f:9,1,"Cook',
    ]
    assert [layout.key(text) for text in texts] == ["f:9", "", "", "f:9", "f:9"]
    assert [layout.original(text) for text in texts[:2]] == ["1,Cook", "9,why,f:9"]
    assert layout_of(JOBS, ["line", "errors", "id", "job"], ",").key("9,why,1,Cook") == ""


@pytest.mark.parametrize("header", ["id", "id,job,job", "id,job,colour", "job,id,line,errors"])
def test_a_header_that_does_not_fit(header: str) -> None:
    with pytest.raises(InputError, match="header"):
        read(f"{header}\n1,Cook\n".encode())


plain = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6).filter(
    lambda text: not any(map(str.isdecimal, text))
)


@given(st.lists(st.lists(plain, min_size=2, max_size=3), max_size=8), st.sampled_from(",;|\t"))
def test_the_output_of_a_csv_writer_is_read_back(rows: list[list[str]], delimiter: str) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    blank = " " if delimiter == "\t" else " \t"
    expected = [[field.strip(blank) for field in row] for row in rows]
    found = read(b"0%b0\n" % delimiter.encode() + text.getvalue().encode(), delimiter)[1:]
    assert [one.fields for one in found] == expected
    assert not any(one.malformed for one in found)


@given(st.lists(st.sampled_from([b"1,a", b'"', b"\n", b"\r", b"\r\n", b'"x"', b",", b"\xe9"])))
def test_small_blocks_have_the_records_of_one_large_block(parts: list[bytes]) -> None:
    content = b"".join([b"0,0\n", *parts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "LONGEST", 1 << 10)
        whole = read(content)
        patch.setattr(reading, "BLOCK", 8)
        cut = read_blocks(content)
        assert records_of(cut) == whole
        layout = layout_of(JOBS, (), ",")
        for at, block in enumerate(cut):
            rest = list(blocks(io.BytesIO(content), layout, block.start))
            assert rest == cut[at:]


PIECES = ["1", "a", '"', '""', ",", "\n", "\r\n", " ", "\t", "5,b", '"x, y"', "é", "\0"]


@given(st.lists(st.sampled_from(PIECES)).map("".join), st.sampled_from(",\t"))
def test_the_fast_reader_of_quotes_finds_the_same_records(text: str, delimiter: str) -> None:
    content = text.encode()
    fast = read(content, delimiter)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Splitter, "_quoted", lambda *_: None)
        assert fast == read(content, delimiter)


def test_each_block_starts_where_the_one_before_ends() -> None:
    found = read_blocks(b"".join(b"%d,x\r\n" % number for number in range(1, 200_000)))
    assert len(found) > 2
    for one, other in pairwise(found):
        assert one.end == other.start
    assert found[1].start.line == found[1].lines[0] == int(found[1].records[0][0])
    assert found[0].start == Position()


def test_gzip_content_has_the_same_blocks() -> None:
    content = b"".join(b"%d,x\n" % number for number in range(1, 100_000))
    with gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(content, 1))) as packed:
        layout = layout_of(JOBS, ("1", "x"), ",")
        file = cast("BinaryIO", packed)
        assert list(blocks(file, layout, Position())) == read_blocks(content)


def test_blocks_for_seekdb_are_a_quarter_as_large_and_have_the_same_records() -> None:
    content = b"".join(b"%d,x\n" % number for number in range(1, 100_000))
    layout = layout_of(JOBS, ["1", "x"], ",")
    small = list(blocks(io.BytesIO(content), layout, Position(), size=reading.SMALL_BLOCK))
    usual = list(blocks(io.BytesIO(content), layout, Position()))
    assert max(block.end.byte - block.start.byte for block in small) <= reading.SMALL_BLOCK
    assert len(small) > 3 * len(usual)
    assert [one for block in small for one in block.records] == [
        one for block in usual for one in block.records
    ]


def test_blocks_of_long_lines_are_larger_and_have_the_same_records() -> None:
    long = b"".join(b"%d,%s\n" % (number, "😀".encode() * 255) for number in range(3000))
    content = b"".join(b"%d,x\n" % number for number in range(3000, 90_000)) + long
    layout = layout_of(JOBS, ["1", "x"], ",")
    usual = list(blocks(io.BytesIO(content), layout, Position(), size=reading.BLOCK))
    large = list(blocks(io.BytesIO(content), layout, Position()))
    sizes = [block.end.byte - block.start.byte for block in large[:-1]]
    assert sizes[0] <= reading.BLOCK < sizes[-1] <= reading.LARGE_BLOCK
    assert [one for block in large for one in block.records] == [
        one for block in usual for one in block.records
    ]
    for at, block in enumerate(large):
        assert list(blocks(io.BytesIO(content), layout, block.start)) == large[at:]
