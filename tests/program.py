"""The program as its users start it: a process of its own, with an environment of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int | None
    out: str
    err: str


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Only what a process needs, and these variables."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"} | dict(variables)


async def start(*arguments: str, **variables: str) -> asyncio.subprocess.Process:
    """`python -m …`, at the head of a process group of its own."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        cwd=ROOT,
        env=environment(variables),
        start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: str, **variables: str) -> Ended:
    """The same, to its end."""
    process = await start(*arguments, **variables)
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())
