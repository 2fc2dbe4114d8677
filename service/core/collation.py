"""Sorts names alphabetically, the same on every engine.

The engines share no such collation, so Python sorts the names.
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
"""Letters that Unicode does not decompose, and their place in the English alphabet."""


def sort_key(text: str) -> str:
    """A text without case and accents: the same for Ångström, ångstrom and ANGSTROM."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(one for one in decomposed if not unicodedata.combining(one))
    # Fold again: a ligature or a wide letter can decompose into capital letters.
    return bare.casefold().translate(_PLAIN)


def ranks(names: Iterable[str]) -> dict[str, int]:
    """The rank of each name in the alphabet.

    Names that differ only in case or accents are sorted by code point.
    """
    ordered = sorted(set(names), key=lambda name: (sort_key(name), name))
    return {name: rank for rank, name in enumerate(ordered)}
