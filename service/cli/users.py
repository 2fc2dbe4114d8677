"""The commands for users: make a password hash, check the file of users."""

from __future__ import annotations

import os
import stat
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from service.core.errors import SettingsError
from service.core.settings import Settings
from service.web.access.users import ROLES, Role, User, read_users


@click.group(name="users", help="Make a password hash, or check the file of users.")
def users_command() -> None:
    pass


@users_command.command(name="hash")
@click.option("--name", help="Print a line for API_USERS, for a user of this name.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(sorted(ROLES)),
    help="A role of the user. Repeat the option for several.",
)
def hash_command(name: str | None, roles: Sequence[Role]) -> None:
    """Print the argon2id hash of a password, for API_PASS_HASH.

    The password is asked for. If standard input is not a terminal, its first line is the password.
    """
    if bool(name) != bool(roles):
        raise click.UsageError("Use --name and --role together, or neither.")
    if name is not None and not _is_name(name):
        raise click.UsageError(
            "--name: write it without a colon, without # at its start and without spaces around it."
        )
    phc = User.with_password("", _password()).phc
    click.echo(f"{name}:{','.join(roles)}:{phc}" if name else phc)


@users_command.command(name="check")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check_command(file: Path | None) -> None:
    """List the users of FILE (default: API_USERS). End with 2 if a line cannot be used."""
    path = file or Settings.from_environment(os.environ).api_users
    if path is None:
        raise click.UsageError("Name a file, or set API_USERS.")
    users = list(read_users(path))
    for user in users:
        click.echo(f"{user.name}: {', '.join(sorted(user.roles))}")
    for text in warnings_of(path):
        click.echo(f"Warning: {text}", err=True)
    if problems := list(problems_of(path, users)):
        raise SettingsError("\n".join(problems))


def problems_of(path: Path, users: Sequence[User]) -> Iterator[str]:
    """What is wrong with a file of users whose lines can be read."""
    for name, count in Counter(user.name for user in users).items():
        if count > 1:
            yield f"{path} names {name} {count} times, and only the last line counts. Keep one."
    if path.stat().st_mode & stat.S_IRWXO:
        yield f"Every user of this machine may read {path}. Run: chmod o= {path}"


def warnings_of(path: Path) -> Iterator[str]:
    """What may be meant, but is unusual: the group only needs to read the file."""
    if path.stat().st_mode & stat.S_IWGRP:
        yield f"The group of {path} may add users and change roles. Run: chmod g-w {path}"


def _is_name(text: str) -> bool:
    """Whether a line of API_USERS can begin with this name."""
    is_plain = text.isprintable() and text.strip() == text
    return is_plain and ":" not in text and not text.startswith("#")


def _password() -> str:
    if sys.stdin.isatty():
        # On standard error, so that the output is only the hash.
        entered: str = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return entered
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError("The first line of standard input must be the password.")
    return line
