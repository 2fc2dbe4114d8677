"""The documentation is complete and agrees with the code."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import click
import msgspec
import pytest

import loader.__main__
import service.__main__
from service.core.errors import __doc__ as hierarchy
from service.core.settings import Settings
from service.core.tables import TABLES
from service.web.app import create_app
from service.web.traffic.metrics import Metrics
from tests.support import site, tree

ROOT = Path(__file__).parents[3]
README = ROOT / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
CODE = "\n".join(re.findall(r"(?ms)^```.*?^```$|`[^`\n]+`", TEXT))


def commands(group: click.Group) -> dict[str, click.Command]:
    """The commands of a group by their words, also those of its groups."""
    found = dict(group.commands)
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            inner = commands(command)
            found |= {f"{name} {word}": one for word, one in inner.items()}
    return found


NAMED = commands(service.__main__.main)
COMMANDS = [service.__main__.main, loader.__main__.main, *NAMED.values()]
PROGRAM = r"(?:python -m (?:service|loader)|(?:^|`)hirebase)"
"""A command line; not the name of the program in a sentence."""


def options(command: click.Command) -> set[str]:
    """The long options of a command."""
    return {
        name
        for option in command.params
        for name in [*option.opts, *option.secondary_opts]
        if name.startswith("--")
    }


def named(name: str) -> bool:
    """Whether code in the documentation contains this word."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", CODE) is not None


@pytest.mark.parametrize("name", sorted(NAMED))
def test_every_command_is_documented(name: str) -> None:
    assert named(f"python -m service {name}") or named(f"hirebase {name}")


def test_every_command_in_the_documentation_exists() -> None:
    words = re.findall(r"(?m)(?:python -m service|(?:^|`)hirebase) ([a-z]+)", CODE)
    assert words
    assert set(words) <= set(NAMED)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_option_is_documented(command: click.Command) -> None:
    assert {name for name in options(command) if not named(name)} == set()


def test_every_option_in_the_documentation_exists() -> None:
    """An option belongs to this program if its line names one of the commands."""
    known = {"--help"}.union(*map(options, COMMANDS))
    lines = [line for line in TEXT.splitlines() if re.search(f"{PROGRAM} [a-z-]", line)]
    documented = set(re.findall(r"(?<![\w-])--[a-z-]+", "\n".join(lines)))
    assert documented
    assert documented <= known


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))


def test_every_target_is_documented() -> None:
    assert targets()
    assert [name for name in sorted(targets()) if not named(f"make {name}")] == []


def test_every_target_in_the_documentation_exists() -> None:
    assert set(re.findall(r"\bmake ([a-z]+)", CODE)) <= targets()


def operations() -> list[tuple[str, dict[str, Any]]]:
    document = create_app(Settings(api_pass="unused")).openapi_schema.to_schema()
    return [
        (path, operation) for path, item in document["paths"].items() for operation in item.values()
    ]


def test_every_route_is_documented() -> None:
    """If each table has a route, documentation of one of them is enough."""
    tables = "|".join(table.path for table in TABLES)
    patterns = {
        re.sub(rf"^/(?:{tables})\b", f"/(?:{tables})", path.partition("{")[0])
        for path, _ in operations()
    }
    assert [pattern for pattern in sorted(patterns) if not re.search(pattern, CODE)] == []


def test_every_parameter_is_documented() -> None:
    names = {
        parameter["name"]
        for _, operation in operations()
        for parameter in operation.get("parameters", ())
        if parameter["in"] != "path"
    }
    assert [name for name in sorted(names) if not named(name)] == []


def test_every_file_that_the_documentation_names_exists() -> None:
    names = set(re.findall(r"`((?:service|loader|sql|examples|tests|docs)/[\w./-]+)`", TEXT))
    assert names
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


def test_every_metric_is_documented() -> None:
    names = [
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in Metrics().registry.collect()
    ]
    assert names
    assert [name for name in names if not named(name)] == []


def settings_table() -> str:
    """The table of settings: the text of .env.example and the default of the code."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    texts = {
        found[1]: above.removeprefix("# ")
        for above, line in pairwise(lines)
        if (found := re.match(r"#?([A-Z_]+)=", line))
    }
    rows = [
        f"| `{field.name.upper()}` | {shown(field.default)} | {texts[field.name.upper()]} |"
        for field in msgspec.structs.fields(Settings)
    ]
    return "\n".join(["| Variable | Default | What it is |", "|---|---|---|", *rows])


def shown(default: object) -> str:
    if isinstance(default, Path) and default.is_absolute():
        default = default.relative_to(ROOT)
    return f"`{default}`" if default not in (None, "") else ""


def test_the_settings_are_those_of_the_code() -> None:
    found = re.search(r"(?s)<!-- settings: .*? -->\n(.*?)\n?<!-- /settings -->", TEXT)
    assert found
    assert found[1] == settings_table()


def test_the_tree_is_that_of_the_files() -> None:
    assert tree.written().strip() == tree.draw().strip(), "run `make docs`, which draws it again"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, built for this run."""
    return site.built(tmp_path_factory.mktemp("documentation") / "site")


def test_the_site_and_its_navigation_have_every_page(html: Path) -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in PAGES:
        place = page.relative_to(ROOT)
        name = "index.html" if page.name == "README.md" else f"{page.stem}.html"
        assert (html / place.with_name(name)).is_file(), place
        assert re.search(rf" {re.escape(str(place))}$", navigation, re.MULTILINE), place


def test_links_and_pictures_are_in_the_site(html: Path) -> None:
    """The build checks only links to pages and headings."""
    missing = [
        f"{page.relative_to(html)}: {address}"
        for page in html.rglob("*.html")
        if page.name != "404.html"  # its links are those of the server's root
        for address in re.findall(r"""\b(?:href|src)=["']?([^"'\s>]+)""", page.read_text("utf-8"))
        if not re.match(r"[a-z]+:|#", address)
        if not (page.parent / unquote(re.split("[?#]", address)[0])).is_file()
    ]
    assert missing == []


def test_the_site_loads_nothing_from_elsewhere(html: Path) -> None:
    """A browser loads everything by itself except the links that a reader follows."""
    tag = re.compile(
        r"""<(?!a\b|/)[^>]*?\b(?:src|srcset|href|data)=["']?\s*((?:https?:)?//[^\s"'>]+)"""
    )
    called = re.compile(r"""(?:@import\s*|url\()["']?\s*(?:https?:)?//""")
    pages, sheets = list(html.rglob("*.html")), list(html.rglob("*.css"))
    assert pages
    assert sheets
    texts = {path: path.read_text(encoding="utf-8") for path in [*pages, *sheets]}
    assert {path.name: found for path, text in texts.items() if (found := tag.findall(text))} == {}
    assert [path.name for path, text in texts.items() if called.search(text)] == []


def test_the_version_has_its_entry() -> None:
    assert f"\n## {service.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_error_is_in_the_hierarchy() -> None:
    from service.core import errors

    names = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    ours = {name for name in names if issubclass(vars(errors)[name], errors.HirebaseError)}
    assert [name for name in sorted(ours) if name not in str(hierarchy)] == []


MAX_MODULES = 12


def test_no_folder_has_too_many_modules() -> None:
    too_full = {
        str(folder.relative_to(ROOT)): count
        for name in ("service", "loader")
        for folder in [ROOT / name, *(ROOT / name).rglob("*")]
        if folder.is_dir() and (count := len(tree.modules(folder))) > MAX_MODULES
    }
    assert too_full == {}
