"""The order in which people expect names, the same on every engine.

The engines have no such collation in common, so names are ordered here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

_PLAIN = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ħ": "h",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "\u0131": "i",
    }
)
"""Letters that Unicode does not decompose, as English alphabets file them."""


def sort_key(text: str) -> str:
    """A text without case and accents, as the alphabet has it: Ångström, ångstrom, ANGSTROM."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(one for one in decomposed if not unicodedata.combining(one))
    # Once more: what a ligature or a wide letter decomposes to has case of its own.
    return bare.casefold().translate(_PLAIN)


def ranks(names: Iterable[str]) -> dict[str, int]:
    """The place of each name in the alphabet; names that differ in case or accents alone follow
    one another by code point."""
    ordered = sorted(set(names), key=lambda name: (sort_key(name), name))
    return {name: rank for rank, name in enumerate(ordered)}
