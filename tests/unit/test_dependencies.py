"""pyproject.toml declares each package that the program imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("service", "loader", "sql")
EXTRAS = ("embedded", "otel")


def declared() -> set[str]:
    """The distributions that pyproject.toml names for the program."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *(one for name in EXTRAS for one in extras[name])]
    return {re.split(r"[\[<>=!~; ]", one)[0] for one in requirements}


def modules(name: str) -> Iterator[str]:
    """The modules that a distribution installs; none if it is not installed for this Python."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return
    for file in files:
        if file.suffix in (".py", ".so", ".pyd"):
            parts = (*file.parent.parts, file.name.partition(".")[0])
            yield ".".join(parts).removesuffix(".__init__")


def imported(file: Path) -> Iterator[tuple[str, ...]]:
    """The imports of a file, each as the names that its module may have."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name,) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, f"{node.module}.{alias.name}") for alias in node.names)


def test_every_import_is_of_a_declared_dependency() -> None:
    known = {module for name in declared() for module in modules(name)}
    files = [file for folder in OURS for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 50
    undeclared = {
        (str(file.relative_to(ROOT)), names[0])
        for file in files
        for names in imported(file)
        if not _is_known(names, known)
    }
    assert undeclared == set()


def _is_known(names: tuple[str, ...], known: set[str]) -> bool:
    top = names[0].partition(".")[0]
    if top in sys.stdlib_module_names or top in OURS or known.intersection(names):
        return True
    # Newer Pythons include modules that older ones get from a package.
    return find_spec(top) is None
