"""The icons of the console: those that the pages use, and their license."""

from __future__ import annotations

import tomllib
from xml.etree import ElementTree

from tests.support.icons import LICENSE, SPRITE, available, named, used
from tests.support.tree import ROOT


def test_every_icon_that_a_page_names_exists() -> None:
    assert "menu" in named()
    missing = named() - available().keys()
    assert not missing, f"python -m tests.support.icons FOLDER adds {missing}"


def test_every_icon_is_used() -> None:
    unused = available().keys() - used()
    assert not unused, f"python -m tests.support.icons drops {unused}"


def test_the_icons_are_shapes_only() -> None:
    names = {element.tag.partition("}")[2] for element in ElementTree.parse(SPRITE).iter()}
    assert names <= {"svg", "symbol", "path", "rect", "circle", "ellipse", "line", "polyline"}


def test_their_license_is_one_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert str(LICENSE.relative_to(ROOT)) in project["license-files"]
    assert "Permission to use, copy" in LICENSE.read_text("utf-8")
