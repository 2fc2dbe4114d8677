"""python -m loader: load the historical CSV files."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from loader.loading.pipeline import load_sources
from loader.memory import keep_free_memory
from loader.options import WORKERS, Options, processes_for
from loader.reading.source import Source, open_sources
from loader.reporting.progress import Progress, on_terminal, silent
from loader.reporting.summary import Summary, render
from service.core.backups.staged.leftovers import tidy
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.errors import HirebaseError, InputError, SettingsError
from service.core.garbage_collection import collect_rarely
from service.core.settings import Settings
from service.core.tables import TABLES, by_name
from service.core.writes.rows_by_day import counting_rows


class Delimiter(click.ParamType[str]):
    """One character; \\t and tab mean a tab."""

    name = "character"

    def convert(
        self, value: str, param: click.Parameter | None, context: click.Context | None
    ) -> str:
        """The character, which is not a CR, an LF, a quote or a space."""
        delimiter = {"\\t": "\t", "tab": "\t"}.get(value, value)
        if len(delimiter) != 1 or delimiter in '\r\n" ' or not delimiter.isascii():
            self.fail(
                f"{value!r} is not one ASCII character that can separate fields", param, context
            )
        return delimiter


@click.command(
    help="Load CSV files into the database. Without FILES, load the files of a folder that are "
    f"named after the tables: {', '.join(table.name for table in TABLES)} (.csv or .csv.gz). A row "
    "whose id exists is compared with the row in the database. Rows that break a rule are written "
    "to <file>.rejects.csv, which you can correct and load. An interrupted load continues where it "
    "stopped.",
    epilog="Exit codes: 0 done (rejects are reported), 1 stopped, 2 wrong usage or input.",
)
@click.argument("files", nargs=-1)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the files [DATA_DIR].")
@click.option(
    "--rejects-dir", type=click.Path(path_type=Path), help="Folder for rejects [REJECTS_DIR]."
)
@click.option(
    "--table",
    type=click.Choice([table.name for table in TABLES]),
    help="The table of FILES with other names, and of - (standard input).",
)
@click.option(
    "--delimiter",
    type=Delimiter(),
    default=",",
    show_default=True,
    help="The character between fields.",
)
@click.option(
    "--on-conflict",
    type=click.Choice(["skip", "replace", "reject"]),
    default="reject",
    show_default=True,
    help="What to do with a row whose id exists with other values.",
)
@click.option("--assume-utc", is_flag=True, help="Take datetimes without an offset as UTC.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option(
    "--max-rejects",
    type=click.IntRange(min=0),
    help="Load nothing if more rows than this break a rule.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=WORKERS,
    show_default=True,
    help="Transactions that run at the same time, each on its own connection. With more than 2, "
    "other processes check the rows of large files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print only the summary, as JSON.")
def main(*, as_json: bool, **chosen: Any) -> None:
    # A shell starts background jobs with SIGINT ignored. SIGTERM, which stops containers, acts like
    # Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        settings = Settings.from_environment(os.environ)
        options = _options(settings, **chosen)
        with nullcontext(silent) if as_json else on_terminal() as progress:
            summaries = _run(settings, options, progress)
    except (SettingsError, InputError) as error:
        _stop(error, 2)
    except HirebaseError as error:
        _stop(error, 1)
    except KeyboardInterrupt:
        _stop("stopped. Run the same command again to continue.", 1)
    else:
        _print(_json(summaries) if as_json else render(summaries))


def _options(
    settings: Settings,
    *,
    data_dir: Path | None,
    rejects_dir: Path | None,
    table: str | None,
    **chosen: Any,
) -> Options:
    return Options(
        data_dir or settings.data_dir,
        rejects_dir or settings.rejects_dir,
        table=by_name(table) if table else None,
        processes=processes_for(chosen["workers"]),
        reconnect_seconds=settings.mysql_wait,
        **chosen,
    )


def _run(settings: Settings, options: Options, progress: Progress) -> list[Summary]:
    collect_rarely()
    keep_free_memory()
    # Outside the event loop, so that one Ctrl-C ends the wait for a pipe.
    with open_sources(options.data_dir, options.files, options.table) as sources:
        return asyncio.run(_load(settings, options, sources, progress))


async def _load(
    settings: Settings, options: Options, sources: Sequence[Source], progress: Progress
) -> list[Summary]:
    async with connect(settings) as database:
        await migrate(database)
        await tidy(database)
        async with counting_rows(database) as counts:
            count = partial(counts.add, "loader", "")
            return await load_sources(database, sources, options, progress, count)


def _json(summaries: list[Summary]) -> str:
    return msgspec.json.encode([summary.as_object() for summary in summaries]).decode()


def _print(text: str) -> None:
    try:
        click.echo(text)
    except BrokenPipeError:
        raise  # click ends the program without a message
    except OSError as error:
        _stop(f"the run is complete, but its summary cannot be printed: {error.strerror}.", 1)


def _stop(error: HirebaseError | str, code: int) -> None:
    click.echo(f"loader: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
