"""The icons of the console, one SVG file with a symbol for each.

`python -m tests.support.icons` drops the icons that no page names. With the folder of the unpacked
npm package lucide-static behind it, it adds those that are missing, and writes all of them again.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from service.web.console.html import HERE, STATIC

SPRITE = STATIC / "icons.svg"
LICENSE = STATIC / "icons-license.txt"
_symbol = re.compile(r'(<symbol id="([a-z0-9-]+)".*?</symbol>)')
_use = re.compile(r'\bicon\("([a-z0-9-]+)"|icons\.svg#([a-z0-9-]+)|symbol="([a-z0-9-]+)"')
_quoted = re.compile(r'"([a-z0-9-]+)"')


def available() -> dict[str, str]:
    """The symbols in the file, by their names."""
    return {name: symbol for symbol, name in _symbol.findall(SPRITE.read_text("utf-8"))}


def named() -> set[str]:
    """The names of the icons that templates and scripts show."""
    return {name for text in _texts() for names in _use.findall(text) for name in names if name}


def used() -> set[str]:
    """The names in the file that templates and scripts show, or pass to something that shows it."""
    quoted = {name for text in _texts() for name in _quoted.findall(text)}
    return available().keys() & (named() | quoted)


def _texts() -> list[str]:
    files = [*HERE.glob("templates/*.html"), *STATIC.glob("*.js")]
    return [path.read_text("utf-8") for path in files]


def prune() -> None:
    """Drop the symbols that are not used."""
    head = SPRITE.read_text("utf-8").partition("\n")[0]
    _write(head, {name: available()[name] for name in used()})


def renew(package: Path) -> None:
    """Write all symbols and their license from the package."""
    version = re.search(r'"version": *"(.*?)"', (package / "package.json").read_text("utf-8"))
    assert version
    head = f"<!-- Lucide {version[1]}, https://lucide.dev, ISC: see icons-license.txt -->"
    _write(head, {name: _as_symbol(package, name) for name in used() | named()})
    LICENSE.write_text((package / "LICENSE").read_text("utf-8"), "utf-8")


def _write(head: str, symbols: dict[str, str]) -> None:
    lines = [head, '<svg xmlns="http://www.w3.org/2000/svg">']
    lines += [symbols[name] for name in sorted(symbols)]
    SPRITE.write_text("\n".join([*lines, "</svg>", ""]), "utf-8")


def _as_symbol(package: Path, name: str) -> str:
    text = (package / "icons" / f"{name}.svg").read_text("utf-8")
    shapes = re.sub(r"\s+", " ", text[text.index(">", text.index("<svg")) + 1 :])
    shapes = shapes.replace("</svg>", "").replace("> <", "><").replace(" />", "/>").strip()
    return f'<symbol id="{name}" viewBox="0 0 24 24">{shapes}</symbol>'


if __name__ == "__main__":
    renew(Path(sys.argv[1])) if sys.argv[1:] else prune()
