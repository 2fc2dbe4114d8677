"""Runs the program as users do: in a separate process with its own environment."""

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
    """The exit code and the output of a process."""

    code: int | None
    out: str
    err: str


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """These variables and the few that every process needs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"} | dict(variables)


async def start(
    *arguments: str, where: str = str(ROOT), **variables: str
) -> asyncio.subprocess.Process:
    """Start `python -m …` in a new process group; where: the folder of the program."""
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
    """Run `python -m …` to its end."""
    process = await start(*arguments, where=where, **variables)
    out, err = await process.communicate()
    return Ended(process.returncode, out.decode(), err.decode())


class Service:
    """A running `python -m service serve`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, scheme: str):
        self._process = process
        self.port = port
        self._scheme = scheme
        self.greeting: list[str] = []
        assert process.stderr
        self._errors = asyncio.create_task(_read_all(process.stderr))

    @classmethod
    async def started(
        cls, *options: str, where: str = str(ROOT), port: int | str = "", **variables: str
    ) -> Service:
        """Start the service on this port, or on a free one; return when it is ready."""
        port = int(port or free_port())
        variables["API_PORT"] = str(port)
        process = await start("service", "serve", *options, where=where, **variables)
        scheme = "https" if variables.get("API_TLS_CERT") else "http"
        service = cls(process, port, scheme)
        await service._read_greeting()
        await service._answer()
        return service

    @property
    def pid(self) -> int:
        """The id of the serving process if there is one worker."""
        return self._process.pid

    @property
    def text(self) -> str:
        return "\n".join(self.greeting)

    def printed(self, name: str) -> str:
        """The text after `name:` in the greeting."""
        return next(
            line.removeprefix(f"{name}:").strip() for line in self.greeting if line.startswith(name)
        )

    def client(self, user: str, password: str) -> httpx.AsyncClient:
        """A client with these credentials, which accepts any certificate."""
        return httpx.AsyncClient(
            base_url=f"{self._scheme}://127.0.0.1:{self.port}",
            auth=httpx.BasicAuth(user, password),
            trust_env=False,
            verify=False,  # loading certificates takes a while
            timeout=30,
        )

    async def end(self, how: signal.Signals = signal.SIGINT) -> Ended:
        """Send a signal to the process group, as a terminal does, and wait."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, how)
        async with asyncio.timeout(30):
            assert self._process.stdout
            out = await self._process.stdout.read()
            err = await self._errors
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


async def _read_all(stream: asyncio.StreamReader) -> bytes:
    """Read the stream to its end, and copy it to the output of the test.

    A full pipe would block the process.
    """
    output = bytearray()
    while chunk := await stream.read(1 << 16):
        output += chunk
        sys.stderr.write(chunk.decode(errors="replace"))
    return bytes(output)
