"""Clusters for the tests: started once; complete, in sync and empty before each test."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cluster.figures import FIGURES, table, write
from tests.support.clusters import Cluster, Galera, GroupReplication


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, and with FIGURES=docs/scaling.md write it into that page."""
    if FIGURES:
        terminalreporter.section("figures")
        for line in table([figures.cells() for figures in FIGURES]):
            terminalreporter.write_line(line)
        if page := os.environ.get("FIGURES"):
            write(Path(page), FIGURES)


@pytest.fixture(scope="session", autouse=True)
def end_on_sigterm() -> None:
    """End like after Ctrl-C, so that no server is left."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
async def running_group_replication() -> AsyncIterator[GroupReplication]:
    _skip_without(GroupReplication)
    async with GroupReplication.running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
async def running_galera() -> AsyncIterator[Galera]:
    _skip_without(Galera)
    async with Galera.running() as cluster:
        yield cluster


@pytest.fixture
async def group_replication(running_group_replication: GroupReplication) -> GroupReplication:
    """A complete group, whose database has no tables."""
    await running_group_replication.heal()
    await running_group_replication.empty()
    return running_group_replication


@pytest.fixture
async def galera(running_galera: Galera) -> Galera:
    """A complete Galera cluster, whose database has no tables."""
    await running_galera.heal()
    await running_galera.empty()
    return running_galera


@pytest.fixture(params=["group_replication", "galera"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Both of them, one after the other."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Cluster)
    return found


def _skip_without(engine: type[Cluster]) -> None:
    if missing := engine.missing():
        pytest.skip(f"{engine.NAME}: this machine has not {missing}")
