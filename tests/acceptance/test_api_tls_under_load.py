"""TLS of the API: certificates that are renewed while clients open connections all the time."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from service.core.settings import Settings
from tests.support.certificates import Authority
from tests.support.program import Service
from tests.support.tls_files import Files, environment, serial_of_new_connection, serials
from tests.support.waiting import until

CLIENTS, RENEWALS, PAUSE_SECONDS = 4, 12, 0.03


async def test_files_that_change_under_load_break_no_connection(
    migrated: Settings, tmp_path: Path
) -> None:
    """Each connection gets a whole pair, while the files are half written, missing or of two."""
    authority = Authority.new("Ours")
    files = Files(tmp_path, authority)
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    service = await Service.started("--workers", "2", **environment(migrated, files))
    issued, seen, stop = {files.serial}, set[int](), asyncio.Event()

    async def connect() -> None:
        while not stop.is_set():
            seen.add(await serial_of_new_connection(service, trusting))

    async def is_seen() -> bool:
        return files.serial in seen

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(connect())
        for at in range(RENEWALS):
            await _renew_slowly(files)
            issued.add(files.serial)
            if at % 3:  # the others are soon replaced, whether a connection got them or not
                await until(is_seen, 20)
        stop.set()
    assert seen <= issued
    assert await serials(service, trusting) == {files.serial}
    ended = await service.end()
    assert (ended.code, "Traceback" in ended.err) == (0, False)
    assert "The API continues with its previous certificate" in ended.err


async def _renew_slowly(files: Files) -> None:
    """Write a new pair as a careless program does: in pieces, and with pauses."""
    certificate, key = files.sign()
    for path, content in ((files.certificate, certificate), (files.key, key)):
        path.unlink()
        await asyncio.sleep(PAUSE_SECONDS)
        path.write_bytes(content[: len(content) // 2])
        await asyncio.sleep(PAUSE_SECONDS)
        path.write_bytes(content)
        await asyncio.sleep(PAUSE_SECONDS)
