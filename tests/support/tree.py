"""The tree of packages in docs/architecture.md. `python -m tests.support.tree` rewrites it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("service", "loader", "sql", "examples", "tests")
MARKED = re.compile(r"(?s)(<!-- tree: [^>]* -->\n).*?(<!-- /tree -->)")


def draw() -> str:
    """The packages as nested Markdown lists, each with the first sentence of its docstring."""
    return "".join(
        f"\n### `{name}/`\n\n{summary(ROOT / name)}\n\n{''.join(entries(ROOT / name, 0))}"
        for name in PACKAGES
    )


def entries(folder: Path, depth: int) -> Iterator[str]:
    """One line for each module and folder. Folders come last."""
    indent = "    " * depth
    for module in modules(folder):
        yield f"{indent}- `{module.name}`{suffix(module)}\n"
    for child in packages(folder):
        yield f"{indent}- **`{child.name}/`**{suffix(child)}\n"
        yield from entries(child, depth + 1)


def modules(folder: Path) -> list[Path]:
    """The Python modules and SQL files in a folder."""
    files = sorted(path for path in folder.iterdir() if path.suffix in {".py", ".sql"})
    return [path for path in files if path.name != "__init__.py"]


def packages(folder: Path) -> list[Path]:
    """The folders that contain modules, at any depth."""
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and path.name != "fixtures")
    return [path for path in folders if modules(path) or packages(path)]


def suffix(path: Path) -> str:
    sentence = summary(path)
    return f": {sentence}" if sentence else ""


def summary(path: Path) -> str:
    """The first sentence of a docstring, or of the comment at the start of an SQL file."""
    source = path / "__init__.py" if path.is_dir() else path
    text = source.read_text(encoding="utf-8") if source.exists() else ""
    doc = comment(text) if source.suffix == ".sql" else ast.get_docstring(ast.parse(text)) or ""
    first = re.split(r"(?<=[.?!])\s", " ".join(doc.partition("\n\n")[0].split()))[0]
    return re.sub(r"([*<>])", r"\\\1", first)


def comment(sql: str) -> str:
    lines = re.match(r"(?:-- (?!name:).*\n)*", sql)
    return re.sub(r"(?m)^-- ", "", lines[0]) if lines else ""


def written() -> str:
    """The text between the markers of the page."""
    found = MARKED.search(PAGE.read_text(encoding="utf-8"))
    return found[0].removeprefix(found[1]).removesuffix(found[2]) if found else ""


def write() -> None:
    """Draw the tree and write it into the page."""
    page = PAGE.read_text(encoding="utf-8")
    new = MARKED.sub(lambda found: f"{found[1]}{draw()}\n{found[2]}", page)
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    write()
