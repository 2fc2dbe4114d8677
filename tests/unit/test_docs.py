"""What there is to know is in the documentation, and what it points to is there."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

import loader.__main__
import service.__main__
from service.core.errors import __doc__ as hierarchy
from service.core.settings import Settings
from service.core.tables import TABLES
from service.web.app import create_app

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
CODE = "\n".join(re.findall(r"(?ms)^```.*?^```$|`[^`\n]+`", TEXT))


def options(command: click.Command) -> set[str]:
    """The long options of a command."""
    return {
        name
        for option in command.params
        for name in [*option.opts, *option.secondary_opts]
        if name.startswith("--")
    }


def named(name: str) -> bool:
    """Whether some code in the documentation has this word."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", CODE) is not None


@pytest.mark.parametrize("name", sorted(service.__main__.main.commands))
def test_every_command_is_documented(name: str) -> None:
    assert named(f"python -m service {name}")


@pytest.mark.parametrize(
    "command",
    [loader.__main__.main, *service.__main__.main.commands.values()],
    ids=lambda command: str(command.name),
)
def test_every_option_is_documented(command: click.Command) -> None:
    assert {name for name in options(command) if not named(name)} == set()


def test_every_option_in_the_documentation_exists() -> None:
    """Options of this program are those that stand beside one of its commands."""
    known = {"--help"}.union(
        *map(options, [loader.__main__.main, *service.__main__.main.commands.values()])
    )
    lines = [line for line in README.read_text("utf-8").splitlines() if "python -m" in line]
    told = set(re.findall(r"(?<![\w-])--[a-z-]+", "\n".join(lines)))
    assert told <= known


def test_every_target_is_documented() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert targets
    assert [name for name in targets if not named(f"make {name}")] == []


def operations() -> list[tuple[str, dict[str, Any]]]:
    document = create_app(Settings(api_pass="unused")).openapi_schema.to_schema()
    return [
        (path, operation) for path, item in document["paths"].items() for operation in item.values()
    ]


def test_every_route_is_documented() -> None:
    """For routes that every table has, one table's is enough."""
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


def settings_table() -> str:
    """The README's table: what .env.example says of each variable, with the code's default."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    says = {
        found[1]: above.removeprefix("# ")
        for above, line in pairwise(lines)
        if (found := re.match(r"#?([A-Z_]+)=", line))
    }
    rows = [
        f"| `{field.name.upper()}` | {shown(field.default)} | {says[field.name.upper()]} |"
        for field in msgspec.structs.fields(Settings)
    ]
    return "\n".join(["| Variable | Default | What it is |", "|---|---|---|", *rows])


def shown(default: object) -> str:
    return f"`{default}`" if default not in (None, "") else ""


def test_the_settings_are_those_of_the_code() -> None:
    found = re.search(r"(?s)<!-- settings: .*? -->\n(.*?)\n?<!-- /settings -->", TEXT)
    assert found
    assert found[1] == settings_table()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not reached(page, link)] == []


def reached(page: Path, link: str) -> bool:
    name, _, heading = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    return target.exists() and (not heading or heading in anchors(target))


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title).lower().replace(" ", "-") for title in titles}


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(page.name for page in (ROOT / "docs/decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    for name in names:
        text = (ROOT / "docs/decisions" / name).read_text(encoding="utf-8")
        assert text.startswith(f"# {int(name[:4])}. ")
        assert re.findall(r"(?m)^## (.*)$", text) == ["Context", "Decision", "Consequences"]


def test_the_version_has_its_entry() -> None:
    assert f"\n## {service.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_error_is_in_the_hierarchy() -> None:
    from service.core import errors

    names = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    ours = {name for name in names if issubclass(vars(errors)[name], errors.HirebaseError)}
    assert [name for name in sorted(ours) if name not in str(hierarchy)] == []
