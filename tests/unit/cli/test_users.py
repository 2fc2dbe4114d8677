"""The commands for users."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.__main__ import main
from service.core.settings import Settings
from service.web.access.users import User, read_users
from tests.support.passwords import hashed


def users(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(main, ["users", *arguments], input=text)


@pytest.mark.parametrize("password", ["secret", " with: spaces ", "ß€𝄞"])
def test_a_hash_is_of_the_password(password: str) -> None:
    result = users("hash", text=f"{password}\nnext line\n")
    phc = result.stdout.removesuffix("\n")
    assert User("x", phc).matches(password.encode())
    assert Settings.from_environment({"API_PASS_HASH": phc}).api_pass_hash == phc
    assert users("hash", text=f"{password}\n").stdout != result.stdout


def test_a_line_is_one_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "users"
    roles = ("--role", "writer", "--role", "reader")
    file.write_text(users("hash", "--name", "etl", *roles, text="secret").stdout)
    (user,) = read_users(file)
    assert (user.name, user.roles) == ("etl", frozenset(("reader", "writer")))
    assert user.matches(b"secret")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--name", "etl"),
        ("--role", "reader"),
        ("--role", "king", "--name", "etl"),
        *(("--role", "reader", "--name", name) for name in ("a:b", "#a", " a", "a\nb")),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...]) -> None:
    assert users("hash", *arguments, text="secret\n").exit_code == 2


def test_a_password_is_needed() -> None:
    assert users("hash", text="").exit_code == 2
    assert users("hash", text="\n").exit_code == 2


def test_users_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "users"
    file.write_text(f"# comment\na:reader:{hashed('x')}\nb:writer,operator:{hashed('y')}\n")
    file.chmod(0o600)
    monkeypatch.setenv("API_USERS", str(file))
    for arguments in ((), (str(file),)):
        result = users("check", *arguments)
        assert (result.exit_code, result.stdout) == (0, "a: reader\nb: operator, writer\n")


@pytest.mark.parametrize(
    ("content", "mode", "text"),
    [
        (f"a:reader:{hashed('x')[:-40]}\n", 0o600, "line 1"),
        ("a:reader:plain\n", 0o600, "line 1"),
        (f"a:reader:{hashed('x')}\na:writer:{hashed('x')}\n", 0o600, "names a 2 times"),
        (f"a:reader:{hashed('x')}\n", 0o644, "chmod o="),
        (f"a:reader:{hashed('x')}\n", 0o602, "chmod o="),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, mode: int, text: str) -> None:
    file = tmp_path / "users"
    file.write_text(content)
    file.chmod(mode)
    result = users("check", str(file))
    assert (result.exit_code, text in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o440, False), (0o660, True)]
)
def test_a_group_may_read_the_file_but_need_not_write_it(
    tmp_path: Path, mode: int, warned: bool
) -> None:
    file = tmp_path / "users"
    file.write_text(f"a:reader:{hashed('x')}\n")
    file.chmod(mode)
    result = users("check", str(file))
    assert (result.exit_code, result.stdout) == (0, "a: reader\n")
    assert ("chmod g-w" in result.stderr) == warned


def test_a_file_is_needed(tmp_path: Path) -> None:
    assert users("check").exit_code == 2
    missing = users("check", str(tmp_path / "missing"))
    assert missing.exit_code == 2
    assert missing.stderr.endswith("missing cannot be read: No such file or directory\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert users("check", str(tmp_path / "binary")).stderr.endswith("is not text in UTF-8\n")
