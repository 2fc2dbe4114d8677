"""Signals that stop python -m loader: SIGINT and SIGTERM, once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from service.core.database.transactions import Database
from tests.support import program
from tests.support.csv_files import until_blocks_are_in
from tests.support.processes import have_ended, started_validators


async def stop(loading: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal, and check how the loader ends."""
    loading.send_signal(number)
    async with asyncio.timeout(20):
        _, error = await loading.communicate()
    assert loading.returncode == 1
    assert error == b"loader: stopped. Run the same command again to continue.\n"


def make_pipe(folder: Path) -> Path:
    pipe = folder / "jobs.csv"
    os.mkfifo(pipe)
    return pipe


async def stop_reader(
    loading: asyncio.subprocess.Process, pipe: Path, number: signal.Signals
) -> None:
    """Stop a loader that waits for the first line of a pipe."""
    # This returns when the loader has opened the other end.
    writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
    await asyncio.sleep(0.5)
    await stop(loading, number)
    os.close(writer)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_stops_a_loader_that_waits_for_a_pipe(
    variables: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    pipe = make_pipe(tmp_path)
    await stop_reader(await program.start("loader", str(pipe), **variables), pipe, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_stops_a_loader_that_a_script_started_in_the_background(
    variables: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """A shell without job control starts it with SIGINT ignored."""
    pipe = make_pipe(tmp_path)
    loading = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"trap '' INT; exec {sys.executable} -m loader {pipe}"),
        cwd=program.ROOT,
        env=program.environment(variables),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await stop_reader(loading, pipe, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_stops_a_running_load(
    variables: dict[str, str], database: Database, tmp_path: Path, number: signal.Signals
) -> None:
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("".join(f"{at},Clerk\n" for at in range(1, 400_000)))
    loading = await program.start("loader", "--json", str(jobs), **variables)
    await until_blocks_are_in(database, 1)
    await stop(loading, number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_to_all_processes_stops_a_load_with_several(
    variables: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C reaches all processes of a terminal, and systemd signals all of a service."""
    jobs = tmp_path / "jobs.csv"
    jobs.write_text("".join(f"{at},Clerk\n" for at in range(1, 1_000_000)))
    loading = await program.start("loader", "--json", "--workers", "4", str(jobs), **variables)

    validators = await started_validators(loading.pid, 60)
    os.killpg(loading.pid, number)
    async with asyncio.timeout(20):
        _, error = await loading.communicate()
    assert loading.returncode == 1
    assert error == b"loader: stopped. Run the same command again to continue.\n"
    assert await have_ended(validators)
