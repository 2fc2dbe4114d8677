"""python -m service: serve, and the commands that need no server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import click
import uvicorn

from loader.__main__ import tell
from loader.pipeline import Options, load
from service.core import database as databases
from service.core.database import Database
from service.core.errors import HirebaseError, SettingsError
from service.core.migrate import migrate
from service.core.settings import Settings
from service.web.app import create_app


class Commands(click.Group):
    """Without a command: serve. Errors with a name end in one line."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Put `serve` where no command stands."""
        if not args or (args[0].startswith("-") and args[0] != "--help"):
            args = ["serve", *args]
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> object:
        """Run the command; 2 for what its user set wrong, 1 for what went wrong."""
        try:
            return super().invoke(context)
        except HirebaseError as error:
            click.echo(f"hirebase: {error}", err=True)
            sys.exit(2 if isinstance(error, SettingsError) else 1)


@click.group(cls=Commands, help="hirebase: a company's hiring history in MySQL.")
def main() -> None:
    pass


@main.command(help="Migrate the database, then serve the API (the default).")
@click.option("--load", "load_first", is_flag=True, help="Load the files of DATA_DIR first.")
def serve(load_first: bool) -> None:
    settings = Settings.from_environment(os.environ).with_password()
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(settings, load_first))


@main.command(name="migrate", help="Bring the database's tables up to date.")
def migrate_command() -> None:
    settings = Settings.from_environment(os.environ)
    applied = asyncio.run(_migrate(settings))
    click.echo("\n".join(applied) or "Up to date.")


async def _migrate(settings: Settings) -> list[str]:
    async with databases.connect(settings) as database:
        return await migrate(database)


async def _serve(settings: Settings, load_first: bool) -> None:
    # The database stays open here while the application opens its own way to it: an embedded
    # server ends with its last user, and would have to start twice.
    async with _prepared(settings) as database:
        if load_first:
            options = Options(settings.data_dir, settings.rejects_dir)
            click.echo(tell(await load(database, options)))
        _greet(settings)
        await uvicorn.Server(_uvicorn(settings)).serve()


@asynccontextmanager
async def _prepared(settings: Settings) -> AsyncIterator[Database]:
    click.echo(f"Database: {_where(settings)}")
    async with databases.connect(settings) as database:
        for name in await migrate(database):
            click.echo(f"Migrated: {name}")
        yield database


def _uvicorn(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_level=settings.log_level,
        access_log=False,
        server_header=False,
    )


def _where(settings: Settings) -> str:
    if settings.embedded:
        return f"embedded, in {settings.embedded_dir}"
    return f"{settings.mysql_database} at {settings.mysql_host}:{settings.mysql_port}"


def _greet(settings: Settings) -> None:
    click.echo(f"API: http://{settings.api_host}:{settings.api_port}")
    click.echo(f"User: {settings.api_user}")
    generated = not os.environ.get("API_PASS") and not os.environ.get("API_PASS_FILE")
    click.echo(f"Password: {settings.api_pass if generated else 'as set in API_PASS'}")


if __name__ == "__main__":
    main()
