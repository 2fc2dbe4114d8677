"""Files of hires in shapes that cost the reader, the rules or the server most."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

FIRST = datetime(2015, 1, 1)  # noqa: DTZ001 - in UTC
BAD_DAY = "2021-02-30"
BAD_OF = 10
"""One row in so many is bad in the shape with bad rows."""
LONG = "😀" * 255

Fields = tuple[int, str, str, int, int]


def write(path: Path, shape: str, count: int) -> Path:
    """A file with this many hires."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(map(LINES.get(shape, _plain), _hires(shape, count)))
    return path


def good_rows(shape: str, count: int) -> int:
    """How many of these hires break no rule."""
    bad = {"10 % bad": count // BAD_OF, "only bad rows": count}
    return count - bad.get(shape, 0)


def _hires(shape: str, count: int) -> Iterator[Fields]:
    chosen = random.Random(1)
    make = HIRES.get(shape, _random)
    keys = range(count, 0, -1) if shape == "ids descending" else range(1, count + 1)
    for at in keys:
        yield at, *make(chosen, at), chosen.randint(1, 12), chosen.randint(1, 183)


def _random(chosen: random.Random, _at: int) -> tuple[str, str]:
    moment = FIRST + timedelta(seconds=chosen.randrange(250_000_000))
    return f"Given{chosen.randrange(300)} Family{chosen.randrange(500)}", f"{moment.isoformat()}Z"


def _rising(_chosen: random.Random, at: int) -> tuple[str, str]:
    moment = FIRST + timedelta(seconds=200 * at)
    return f"Given{at} Family{at * 7}", f"{moment.isoformat()}Z"


def _long(chosen: random.Random, at: int) -> tuple[str, str]:
    return LONG, _random(chosen, at)[1]


def _bad(chosen: random.Random, at: int) -> tuple[str, str]:
    name, moment = _random(chosen, at)
    return name, f"{BAD_DAY}{moment[10:]}"


def _one_in_ten_bad(chosen: random.Random, at: int) -> tuple[str, str]:
    return (_random if at % BAD_OF else _bad)(chosen, at)


def _plain(fields: Fields) -> str:
    return ",".join(map(str, fields)) + "\n"


def _all_quoted(fields: Fields) -> str:
    return ",".join(f'"{field}"' for field in fields) + "\n"


def _texts_quoted(fields: Fields) -> str:
    return ",".join(f'"{one}"' if isinstance(one, str) else str(one) for one in fields) + "\n"


HIRES: dict[str, Callable[[random.Random, int], tuple[str, str]]] = {
    "rising moments, distinct names": _rising,
    "names of 255 four-byte characters": _long,
    "10 % bad": _one_in_ten_bad,
    "only bad rows": _bad,
}
LINES: dict[str, Callable[[Fields], str]] = {
    "all fields quoted": _all_quoted,
    "texts quoted": _texts_quoted,
}
SHAPES = {
    "random": 1.0,
    "rising moments, distinct names": 1.0,
    "names of 255 four-byte characters": 0.2,
    "all fields quoted": 1.0,
    "texts quoted": 1.0,
    "10 % bad": 1.0,
    "ids descending": 1.0,
    "only bad rows": 0.2,
}
"""The shapes beside LOAD DATA; each with its part of the rows, because some are large or slow."""
