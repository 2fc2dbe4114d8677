"""Hostile files are refused quickly and in little memory."""

from __future__ import annotations

import io
import subprocess
import sys
import time

import pytest

from service.core.backups.format.binary import write_bytes, write_long
from service.core.backups.format.container import MAGIC
from service.core.backups.verify import _verify
from service.core.errors import HirebaseError
from tests.support import hostile_files

SECONDS, MEBIBYTES = 5, 150
LONGEST = 2000
"""The most characters of a message."""

MEASURE = """
import sys
from service.core.errors import HirebaseError
from service.core.backups.verify import _verify
from tests.support.processes import peak

idle = peak("self")
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        try:
            _verify(file)
        except HirebaseError:
            pass
        else:
            raise SystemExit(path)
print(int(peak("self") - idle))
"""


@pytest.mark.parametrize("name", [*hostile_files.AVRO, *hostile_files.ZIPS])
def test_it_is_refused_in_time(name: str) -> None:
    content = hostile_files.content(name)
    started = time.process_time()
    with pytest.raises(HirebaseError) as refused:
        _verify(io.BytesIO(content))
    assert time.process_time() - started < SECONDS
    assert len(str(refused.value)) < LONGEST


def test_they_take_little_memory(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    paths = []
    for at, name in enumerate([*hostile_files.AVRO, *hostile_files.ZIPS]):
        paths.append(folder / str(at))
        paths[-1].write_bytes(hostile_files.content(name))
    paths.append(folder / "a header of 100 MB")
    with paths[-1].open("wb") as file:
        file.write(MAGIC + write_long(1) + write_bytes(b"avro.schema") + write_long(100 << 20))
        file.truncate(100 << 20)
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < MEBIBYTES
