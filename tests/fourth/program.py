"""A copy of the program with a fourth table, added by the steps of docs/architecture.md."""

from __future__ import annotations

import shutil
from pathlib import Path

import sql
from tests.support.program import ROOT

HERE = Path(__file__).parent


def with_a_fourth_table(folder: Path) -> Path:
    """Copy the program into a folder and add the table `contracts`."""
    for name in ("service", "loader", "sql"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True
        )
    _add_entry(folder / "service" / "core" / "tables.py")
    shutil.copy(HERE / "contracts.sql", folder / "sql")
    number = len(sql.migrations()) + 1
    shutil.copy(
        HERE / "migration.sql", folder / "sql" / "migrations" / f"{number:04}_contracts.sql"
    )
    return folder


def _add_entry(tables: Path) -> None:
    text = tables.read_text(encoding="utf-8")
    last = '    Table("employees", "hired_employees", Employee),\n'
    assert text.count(last) == text.count("@dataclass(frozen=True)\nclass Field:") == 1
    text = text.replace(last, last + '    Table("contracts", "contracts", Contract),\n')
    _, _, struct = (HERE / "contract.py").read_text(encoding="utf-8").partition("annotations\n")
    text = text.replace(
        "@dataclass(frozen=True)\nclass Field:",
        f"{struct}\n\n@dataclass(frozen=True)\nclass Field:",
    )
    tables.write_text(text, encoding="utf-8")
