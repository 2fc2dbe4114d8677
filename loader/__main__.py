"""python -m loader: load the historical CSV files."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec

from loader.pipeline import Options, load
from loader.report import Summary, changed_nothing
from service.core import database as databases
from service.core.errors import HirebaseError, InputError, SettingsError
from service.core.merge import OnConflict
from service.core.migrate import migrate
from service.core.settings import Settings


@click.command(help="Load departments.csv, jobs.csv and hired_employees.csv into the database.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Folder of the files [DATA_DIR].")
@click.option(
    "--rejects-dir", type=click.Path(path_type=Path), help="Folder for rejects [REJECTS_DIR]."
)
@click.option(
    "--on-conflict",
    type=click.Choice(["skip", "replace", "reject"]),
    default="reject",
    show_default=True,
    help="What to do with a row whose id is there with other values.",
)
@click.option("--assume-utc", is_flag=True, help="Take datetimes without an offset as UTC.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON, nothing else.")
def main(
    data_dir: Path | None,
    rejects_dir: Path | None,
    on_conflict: OnConflict,
    assume_utc: bool,
    as_json: bool,
) -> None:
    try:
        settings = Settings.from_environment(os.environ)
        options = Options(
            data_dir or settings.data_dir,
            rejects_dir or settings.rejects_dir,
            on_conflict,
            assume_utc,
        )
        summaries = asyncio.run(_load(settings, options))
    except (SettingsError, InputError) as error:
        _stop(error, 2)
    except HirebaseError as error:
        _stop(error, 1)
    else:
        click.echo(_json(summaries) if as_json else tell(summaries))


async def _load(settings: Settings, options: Options) -> list[Summary]:
    async with databases.connect(settings) as database:
        await migrate(database)
        return await load(database, options)


def tell(summaries: list[Summary]) -> str:
    """The summary for people."""
    lines = [str(summary) for summary in summaries]
    if changed_nothing(summaries):
        lines.append("Everything was there already: nothing changed.")
    return "\n".join(lines)


def _json(summaries: list[Summary]) -> str:
    return msgspec.json.encode([summary.as_object() for summary in summaries]).decode()


def _stop(error: HirebaseError, code: int) -> None:
    click.echo(f"loader: {error}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
