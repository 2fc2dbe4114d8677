"""A CSV has the same rows and rejects, whether it is posted or loaded."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from loader.reading import blocks
from loader.reading.layout import CsvLayout
from service.core.errors import InputError
from service.core.rules import batch, formats
from service.core.rules.batch import Batch, Row
from service.core.tables import TABLES, Table

plain = st.sampled_from(
    [*"a 1 Ana x=y O'Brien".split(), "", " ", "x y", "\u3000x", "x\xa0", "\x1fx", "x\x85", "\u2028"]
)
quoted = st.sampled_from(["a,b", 'a""b', "a\nb", " a ", "\u3000a", "", "\ta", "a\r\nb"]).map(
    '"{}"'.format
)
fields = st.one_of(
    plain,
    quoted,
    st.builds("{}{}".format, plain, st.sampled_from(["", " ", "\t"])),
    st.builds(" {}".format, quoted),
)


def loaded(table: Table, body: bytes) -> Batch:
    """The batch of a CSV without ids, as the loader splits it."""
    file = io.BytesIO(body)
    start, header = blocks.beginning(file, ",")
    layout = CsvLayout(tuple(header), tuple(field.name for field in table.fields), header=True)
    (block,) = blocks.blocks(file, layout, start)
    return batch.from_texts(table, block.records, with_id=False)


def verdicts(validated: Batch) -> tuple[dict[int, Row], dict[int, list[Any]]]:
    """Rows and errors by position."""
    rows = dict(zip(validated.positions, validated.rows, strict=True))
    return rows, {
        one.position: [(error.field, error.code) for error in one.errors]
        for one in validated.rejects
    }


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.path)
@example(["last "], "\n", "")
@example([" ", "x"], "\n", "\n")
@example(["x\x1f", "\u3000x"], "\n", "")
@given(
    st.lists(fields, min_size=1, max_size=4),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["\n", ""]),
)
def test_a_csv_is_read_alike(table: Table, texts: list[str], line_end: str, last: str) -> None:
    others = "".join(f",{field.kind.example}" for field in table.fields[1:])
    header = ",".join(field.name for field in table.fields)
    lines = [header, *(text if text == " " else f"{text}{others}" for text in texts)]
    body = f"{line_end.join(lines)}{last}".encode()
    try:
        posted = formats.from_csv(table, body)
    except InputError:
        # No rows, or a broken quote: a posted body is refused as a whole.
        assume(condition=False)
    assert verdicts(posted) == verdicts(loaded(table, body))
