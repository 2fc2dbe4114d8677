"""Alphabetical order as readers expect it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.collation import ranks, sort_key

NASTY = [
    *(" ", "-", "0", "9", "AEther", "Ætherium", "apple", "Äpple", "banana", "Chaînon", "Chair"),
    *("đa", "db", "Éclair", "eclairs", "file", "ﬁles", "Geologist I", "GIS Technical Architect"),
    *("istanbul", "İstanbula", "Łódź", "lodzi", "oak", "Øst", "oz", "strasse", "Straßen", "z"),
    *("яблоко", "中", "😀"),
]


def test_names_are_in_alphabetical_order() -> None:
    found = ranks(reversed(NASTY))
    assert sorted(found, key=found.__getitem__) == NASTY


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Éa", "ea"),
        ("e\u0301", "É"),
        ("ß", "SS"),
        ("ﬁ", "FI"),
        ("Ø", "o"),
        ("Ł", "l"),
        ("İ", "i"),
        ("ı", "I"),
        ("Ａ", "a"),
        ("Ё", "е"),
        ("㎏", "kg"),
        ("Å", "Å"),
    ],
)
def test_case_and_accents_do_not_count(one: str, other: str) -> None:
    assert sort_key(one) == sort_key(other)


@given(st.text())
def test_a_key_is_the_same_in_any_case_and_form(text: str) -> None:
    assert sort_key(text.lower().upper()) == sort_key(text.upper())
    for form in ("NFC", "NFD"):
        assert sort_key(unicodedata.normalize(form, text)) == sort_key(text)


@given(st.lists(st.text(max_size=5)))
def test_every_name_has_a_distinct_rank(names: list[str]) -> None:
    found = ranks(names)
    assert sorted(found.values()) == list(range(len(set(names))))
    assert found == ranks(reversed(names))
    keys = [sort_key(name) for name in sorted(found, key=found.__getitem__)]
    assert keys == sorted(keys)
