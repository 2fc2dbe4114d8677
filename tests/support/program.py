"""The program as its users start it: a process of its own, with an environment of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.processes import free_port

ROOT = Path(__file__).parents[2]


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


async def start(
    *arguments: str, where: str = str(ROOT), **variables: str
) -> asyncio.subprocess.Process:
    """`python -m …`, at the head of a process group of its own; where: the program's folder."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        cwd=where,
        env=environment(variables),
        start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: str, where: str = str(ROOT), **variables: str) -> Ended:
    """The same, to its end."""
    process = await start(*arguments, where=where, **variables)
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


class Service:
    """`python -m service serve`, from its greeting on."""

    def __init__(self, process: asyncio.subprocess.Process, port: int):
        self._process = process
        self.port = port
        self.greeting: list[str] = []
        assert process.stderr
        self._complaints = asyncio.create_task(_overheard(process.stderr))

    @classmethod
    async def started(cls, *options: str, where: str = str(ROOT), **variables: str) -> Service:
        """The service on a free port, once it has told its credentials and answers."""
        port = free_port()
        variables["API_PORT"] = str(port)
        process = await start("service", "serve", *options, where=where, **variables)
        service = cls(process, port)
        await service._read_greeting()
        await service._answer()
        return service

    @property
    def pid(self) -> int:
        """Of the process that serves, where there is one worker."""
        return self._process.pid

    @property
    def text(self) -> str:
        return "\n".join(self.greeting)

    def told(self, name: str) -> str:
        """What stands behind `name:` in the greeting."""
        return next(
            line.removeprefix(f"{name}:").strip() for line in self.greeting if line.startswith(name)
        )

    def client(self, user: str, password: str) -> httpx.AsyncClient:
        """Real HTTP with these credentials."""
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            auth=httpx.BasicAuth(user, password),
            trust_env=False,
            verify=False,  # plain HTTP: no certificates to load
            timeout=30,
        )

    async def end(self, how: signal.Signals = signal.SIGINT) -> Ended:
        """Send a signal to the whole group, as a terminal does, and wait."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        async with asyncio.timeout(30):
            assert self._process.stdout
            out = await self._process.stdout.read()
            err = await self._complaints
            await self._process.wait()
        return Ended(self._process.returncode, out.decode(), err.decode())

    async def _read_greeting(self) -> None:
        assert self._process.stdout
        while not self.greeting or not self.greeting[-1].startswith("Password:"):
            line = (await self._process.stdout.readline()).decode()
            if not line:
                ended = await self.end()
                raise RuntimeError(f"The service ended with {ended.code}: {self.text} {ended.err}")
            self.greeting.append(line.rstrip())

    async def _answer(self) -> None:
        async with asyncio.timeout(30), self.client("", "") as client:
            while True:
                with suppress(httpx.TransportError):
                    if (await client.get("/health/ready")).status_code == 200:
                        return
                await asyncio.sleep(0.02)


async def _overheard(stream: asyncio.StreamReader) -> bytes:
    """All of it, and at once for whoever reads why a test failed.

    A pipe that is full holds up whoever writes to it.
    """
    said = bytearray()
    while piece := await stream.read(1 << 16):
        said += piece
        sys.stderr.write(piece.decode(errors="replace"))
    return bytes(said)
