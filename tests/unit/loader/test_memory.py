"""Memory that is free stays in the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

ROUNDS, PARTS, BYTES, PAGE = 20, 8, 2 << 20, 4096
FAULTS = f"""
import resource
from loader.memory import keep_free_memory

keep_free_memory()
[b"x" * {BYTES} for _ in range({PARTS})]
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({ROUNDS}):
    [b"x" * {BYTES} for _ in range({PARTS})]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has the setting")
def test_a_block_gets_the_pages_of_the_one_before() -> None:
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, check=True)
    assert int(run.stdout) < PARTS * BYTES // PAGE
