"""The command line: `hirebase`, or python -m service."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import click

from loader.__main__ import main as load_command
from service import __version__
from service.cli.doctor.command import doctor_command
from service.cli.users import users_command
from service.commands import backup_command, restore_command, verify_command
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from service.core.database.pending import pending_changes
from service.core.errors import HirebaseError, SettingsError
from service.core.settings import Settings
from service.serve import serve


class Commands(click.Group):
    """A command group with `serve` as its default; errors of hirebase are one line."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Insert `serve` if the arguments name no command."""
        # Not for the shell's completion, which asks with the words before the cursor.
        is_option = bool(args) and args[0].startswith("-")
        if not context.resilient_parsing and (
            not args or (is_option and args[0] not in ("--help", "--version"))
        ):
            args = ["serve", *args]
        return super().parse_args(context, args)

    def invoke(self, context: click.Context) -> object:
        """Run the command; the exit code is 2 after a SettingsError, and 1 after other errors."""
        _set_signal_handlers()
        try:
            return super().invoke(context)
        except HirebaseError as error:
            click.echo(f"hirebase: {error}", err=True)
            sys.exit(2 if isinstance(error, SettingsError) else 1)
        except KeyboardInterrupt:
            click.echo("hirebase: stopped.", err=True)
            sys.exit(1)
        except OSError as error:
            path = error.filename or "a file"
            click.echo(f"hirebase: {path} cannot be read or written: {error.strerror}.", err=True)
            sys.exit(1)


def _set_signal_handlers() -> None:
    """Make SIGTERM act like SIGINT, which cancels the running task, so that its cleanup runs.

    The first process of a container gets no SIGTERM without a handler.
    """
    # A shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))


@click.group(cls=Commands, help="hirebase: a company's hiring history in MySQL.")
@click.version_option(__version__, prog_name="hirebase")
def main() -> None:
    pass


@main.command(name="serve", help="Migrate the database, then serve the API (the default).")
@click.option("--load", "load_first", is_flag=True, help="Load the files of DATA_DIR first.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that serve. Each uses one core.",
)
def serve_command(load_first: bool, workers: int) -> None:
    serve(load_first=load_first, workers=workers)


@main.command(name="migrate", help="Bring the database's tables up to date.")
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing. List what is pending, its locks and its time. The exit code is 1 if "
    "something is pending, and 2 if the check fails.",
)
def migrate_command(check: bool) -> None:
    settings = Settings.from_environment(os.environ)
    lines = asyncio.run(_pending(settings) if check else _migrate(settings))
    click.echo("\n".join(lines) or "Up to date.")
    sys.exit(1 if check and lines else 0)


async def _migrate(settings: Settings) -> list[str]:
    async with connect(settings) as database:
        return await migrate(database)


async def _pending(settings: Settings) -> list[str]:
    try:
        async with connect(settings) as database:
            return [change.describe() for change in await pending_changes(database)]
    except HirebaseError as error:
        raise SettingsError(str(error)) from error  # ends with 2, because 1 means pending


for command in (backup_command, restore_command, verify_command, users_command, doctor_command):
    main.add_command(command)
main.add_command(load_command, name="load")


if __name__ == "__main__":
    main()
