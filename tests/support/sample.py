"""Writes the CSV files of loader/sample: 12 departments, 183 jobs, 1,999 hires, 70 of them bad.

Seeded: the output is the same on every machine. The 70 rejects by code, which are 71 errors
because one row lacks two fields: missing 44, type 4, too_long 2, out_of_range 5, format 5,
control_character 3, not_found 4, duplicate 2, malformed 2. Spaces alone count as missing.

    python -m tests.support.sample [FOLDER]
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice, product
from pathlib import Path
from random import Random

from tests.support.sample_words import DEPARTMENTS, FIRST_NAMES, GRADES, LAST_NAMES, ROLES

FOLDER = Path(__file__).parents[2] / "loader" / "sample"

Row = list[str]
Fault = Callable[[Row], Row]

SEED = 20210101
HIRES = 1999
JOBS = 183
FIRST_DAY = datetime(2021, 1, 1, tzinfo=UTC)
SPAN = 400 * 24 * 60 * 60
ID, NAME, DATETIME, DEPARTMENT, JOB = range(5)


def _put(column: int, value: str, row: Row) -> Row:
    return [*row[:column], value, *row[column + 1 :]]


def _copy_earlier_id(row: Row) -> Row:
    return _put(ID, str(int(row[ID]) - CLEAN_LEAD), row)


def _faults(code: str, column: int, *values: str) -> list[tuple[str, Fault]]:
    return [(code, partial(_put, column, value)) for value in values]


FAULTS: list[tuple[str, Fault]] = [
    *_faults("missing", NAME, *[""] * 13, " ", "    "),
    *_faults("missing", DATETIME, *[""] * 8),
    *_faults("missing", DEPARTMENT, *[""] * 10),
    *_faults("missing", JOB, *[""] * 9),
    ("missing", lambda row: [row[ID], "", row[DATETIME], row[DEPARTMENT], ""]),
    *_faults("type", ID, "n/a"),
    *_faults("type", DEPARTMENT, "two"),
    *_faults("type", JOB, "3.0", "1e2"),
    *_faults("too_long", NAME, "Ana " * 63 + "Anaïs", "Ö" * 300),
    *_faults("out_of_range", ID, "0", "-5", "2147483648"),
    *_faults("out_of_range", DATETIME, "0999-12-31T23:59:59Z"),
    *_faults("out_of_range", JOB, "99999999999"),
    *_faults("format", DATETIME, "2021-03-04T10:11:12", "2021-02-30T08:00:00Z"),
    *_faults("format", DATETIME, "2021-05-06T07:08:09.1234567Z", "2021-13-01T00:00:00Z"),
    *_faults("format", DATETIME, "last Tuesday"),
    *_faults("control_character", NAME, "Bell\x07 Ringer", "Tab\tStopp", "Page\x0bTurner"),
    *_faults("not_found", DEPARTMENT, "13", "99"),
    *_faults("not_found", JOB, "184", "999"),
    ("duplicate", _copy_earlier_id),
    ("duplicate", _copy_earlier_id),
    ("malformed", lambda row: row[:DEPARTMENT]),
    ("malformed", lambda row: [*row, "spare"]),
]
"""(code, a function that makes a valid row break that rule), one per reject."""

STRIDE = HIRES // len(FAULTS)
CLEAN_LEAD = 7
"""Each stride of rows has one fault, never in its first 7 rows: a duplicate repeats a valid row."""


def generate(folder: Path) -> None:
    """Write departments.csv, jobs.csv and hired_employees.csv into an existing folder."""
    _write(folder / "departments.csv", _numbered(DEPARTMENTS))
    _write(folder / "jobs.csv", _numbered(islice(_titles(), JOBS)))
    _write(folder / "hired_employees.csv", hires(Random(SEED)))


def hires(random: Random) -> list[Row]:
    """HIRES rows of text, with one fault in each of the first strides."""
    rows = [_hire(random, number) for number in range(1, HIRES + 1)]
    for at, (_, fault) in zip(_places(random), _shuffled(random, FAULTS), strict=True):
        rows[at] = fault(rows[at])
    return rows


def _places(random: Random) -> list[int]:
    first = range(CLEAN_LEAD, STRIDE * len(FAULTS), STRIDE)
    return [start + random.randrange(STRIDE - CLEAN_LEAD) for start in first]


def _shuffled(random: Random, faults: list[tuple[str, Fault]]) -> list[tuple[str, Fault]]:
    # Not random.shuffle: only random() and getrandbits() give the same in every Python version.
    keyed = [(random.random(), at) for at in range(len(faults))]
    return [faults[at] for _, at in sorted(keyed)]


def _hire(random: Random, number: int) -> Row:
    department, job = random.randrange(len(DEPARTMENTS)), random.randrange(JOBS)
    return [str(number), _name(random), _moment(random), str(department + 1), str(job + 1)]


def _name(random: Random) -> str:
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    forms = {0: f"{last}, {first}", 1: f'{first} "{first[0]}." {last}'}
    return forms.get(random.randrange(60), f"{first} {last}")


def _moment(random: Random) -> str:
    moment = FIRST_DAY + timedelta(seconds=random.randrange(SPAN))
    forms = {0: "+02:00", 1: "-05:30", 2: ".25Z", 3: ".000001Z"}
    return f"{moment:%Y-%m-%dT%H:%M:%S}" + forms.get(random.randrange(80), "Z")


def _titles() -> Iterator[str]:
    return (f"{grade} {role}".strip() for role, grade in product(ROLES, GRADES))


def _numbered(names: Iterable[str]) -> Iterator[Row]:
    return ([str(number), name] for number, name in enumerate(names, 1))


def _write(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)
