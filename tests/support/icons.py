"""The icons of the console, one SVG file with a symbol for each.

`python -m tests.support.icons FOLDER` writes it again: FOLDER is the unpacked npm package
lucide-static. Icons that no page names are dropped, and new ones are added.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from service.web.console.html import HERE, STATIC

SPRITE = STATIC / "icons.svg"
LICENSE = STATIC / "icons-license.txt"
_symbol = re.compile(r'<symbol id="([a-z0-9-]+)"')
_use = re.compile(r'\bicon\("([a-z0-9-]+)"|icons\.svg#([a-z0-9-]+)')


def available() -> set[str]:
    """The names of the icons in the file."""
    return set(_symbol.findall(SPRITE.read_text("utf-8")))


def named() -> set[str]:
    """The names of the icons that templates and scripts show."""
    files = [*HERE.glob("templates/*.html"), *STATIC.glob("*.js")]
    found = (_use.findall(path.read_text("utf-8")) for path in files)
    return {first or second for uses in found for first, second in uses}


def write(package: Path, names: set[str]) -> None:
    """Write the file and its license from the package."""
    version = re.search(r'"version": *"(.*?)"', (package / "package.json").read_text("utf-8"))
    assert version
    symbols = "".join(_as_symbol(package, name) for name in sorted(names))
    SPRITE.write_text(
        f"<!-- Lucide {version[1]}, https://lucide.dev, ISC: see icons-license.txt -->\n"
        f'<svg xmlns="http://www.w3.org/2000/svg">\n{symbols}</svg>\n',
        "utf-8",
    )
    LICENSE.write_text((package / "LICENSE").read_text("utf-8"), "utf-8")


def _as_symbol(package: Path, name: str) -> str:
    text = (package / "icons" / f"{name}.svg").read_text("utf-8")
    shapes = re.sub(r"\s+", " ", text[text.index(">", text.index("<svg")) + 1 :])
    shapes = shapes.replace("</svg>", "").replace("> <", "><").replace(" />", "/>").strip()
    return f'<symbol id="{name}" viewBox="0 0 24 24">{shapes}</symbol>\n'


if __name__ == "__main__":
    write(Path(sys.argv[1]), named() | set(sys.argv[2:]))
