"""Any texts that a table can have are found, sorted, taken out and loaded again as they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

import httpx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loader.loading.pipeline import load
from service.core.database.transactions import Database
from service.core.reads import paths
from service.core.tables import by_path
from tests.support.csv_files import Folder
from tests.support.lists import CSV, Parameters, as_csv, as_lines, listed

JOBS = by_path("jobs")
NOT_CONTROL = st.characters(exclude_categories=["Cc", "Cs"])
ODD = (
    *("%", "_", "|", "\\", "'", '"', ",", ";", "\\'", "%%s", "{}", "=", "é", "e\u0301", "İ", "ß"),
    *(
        "😀",
        "👩\u200d👩",
        "\U0010ffff",
        "\ufeff",
        "\u2028",
        "\u00a0",
        "\ufffd",
        "  ",
        "' OR 1=1 --",
    ),
)
PIECES = st.text(NOT_CONTROL, max_size=4) | st.sampled_from(ODD)
TEXTS = st.lists(PIECES, min_size=1, max_size=5).map("".join).filter(str.strip)
LONGEST = st.sampled_from(["😀", '"', "\\", "'", "%", "ß"]).map(lambda one: one * 255)


@st.composite
def texts_and_prefixes(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    texts = draw(st.lists(TEXTS | LONGEST, min_size=1, max_size=25))
    own = st.sampled_from(texts).flatmap(
        lambda text: st.integers(1, len(text)).map(lambda length: text[:length])
    )
    return texts, draw(st.lists((own | TEXTS).filter(str.strip), min_size=1, max_size=4))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    found=texts_and_prefixes(),
    order=st.sampled_from(["id", "-id", "job", "-job"]),
    limit=st.integers(1, 9),
    scan=st.sampled_from([3, 10_000]),
)
@example(found=(["0\u2028", "0"], ["0"]), order="id", limit=1, scan=3)
async def test_any_text_is_found_by_any_prefix_in_any_order(
    api: httpx.AsyncClient,
    database: Database,
    found: tuple[list[str], list[str]],
    order: str,
    limit: int,
    scan: int,
) -> None:
    texts, prefixes = found
    rows = [(2 * at + 1, text) for at, text in enumerate(texts)]
    await _refill(database, rows)
    by_text = order.endswith("job")
    matching = [row for row in rows if row[1].startswith(tuple(prefixes))]
    expected = [
        {"id": key, "job": text}
        for key, text in sorted(
            matching,
            # The server compares texts as if they were padded with spaces.
            key=lambda row: (row[1].rstrip(" ") if by_text else "", row[0]),
            reverse=order.startswith("-"),
        )
    ]
    before, paths.SCAN = paths.SCAN, scan
    try:
        query: Parameters = {"job": prefixes, "order": order}
        assert await listed(api, "/jobs", limit, **query) == expected
        assert await as_lines(api, "/jobs", **query) == expected
        assert await as_csv(api, "/jobs", **query) == [
            {"id": str(row["id"]), "job": row["job"]} for row in expected
        ]
    finally:
        paths.SCAN = before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(texts=st.lists((TEXTS | LONGEST).map(lambda text: text.strip(" ")), min_size=1, max_size=40))
async def test_any_text_is_loaded_again_as_it_was(
    api: httpx.AsyncClient, database: Database, texts: list[str]
) -> None:
    rows = [(7 * at + 1, text) for at, text in enumerate(texts)]
    await _refill(database, rows)
    file = (await api.get("/jobs", headers=CSV)).content
    await _refill(database, [])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        options = Folder(path).options(files=(str(path / "jobs.csv"),))
        (path / "jobs.csv").write_bytes(file)
        (summary,) = await load(database, options)
    assert summary.rejected == 0
    assert await database.fetch("SELECT id, job FROM jobs ORDER BY id") == rows


async def _refill(database: Database, rows: list[tuple[int, str]]) -> None:
    async with database.transaction() as transaction:
        await transaction.execute("DELETE FROM jobs")
        if rows:
            await transaction.insert(JOBS.sql["insert_with_id"], rows)
