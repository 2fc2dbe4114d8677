"""compose.yaml on a real engine, with .env.example as it is: database, loader, API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.support import compose
from tests.support.compose import Project
from tests.support.program import ROOT

pytestmark = pytest.mark.timeout(900)  # the first build installs the packages
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")
CREDENTIALS = ("admin", "change-me")
SAMPLE = {"departments": 12, "jobs": 183, "employees": 1929}


@pytest.fixture(scope="module")
async def project(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Project]:
    if missing := compose.missing():
        pytest.skip(f"compose.yaml: this machine has not {missing}")
    folder: Path = tmp_path_factory.mktemp("compose")
    async with Project.running("compose.yaml", folder, EXAMPLE) as project:
        yield project


async def totals(project: Project) -> dict[str, int]:
    """The number of rows in each table, as the API says."""
    address = f"http://127.0.0.1:{project.port}"
    async with httpx.AsyncClient(base_url=address, auth=CREDENTIALS, trust_env=False) as client:
        query: dict[str, str | int] = {"limit": 1, "count": "exact"}
        return {
            table: (await client.get(f"/{table}", params=query)).json()["count"] for table in SAMPLE
        }


async def test_it_serves_the_loaded_sample(project: Project) -> None:
    assert await totals(project) == SAMPLE
    assert "1929 added, 70 rejected" in await project.run("logs", "--no-log-prefix", "loader")


async def test_the_documented_commands_run_in_its_container(project: Project) -> None:
    service = ("exec", "-T", "api", "python", "-m", "service")
    assert "2124 rows" in await project.run(*service, "backup")
    report = json.loads(await project.run(*service, "doctor", "--json"))
    assert report["healthy"]
    assert await project.run(*service, "migrate", "--check") == "Up to date.\n"


async def test_its_data_survive_a_new_start(project: Project) -> None:
    await project.run("exec", "-T", "api", "python", "-m", "service", "backup")
    await project.run("down")
    await project.run("up", "--detach", "--no-build")
    await project.wait_ready()
    assert await totals(project) == SAMPLE
    assert "No row was added or changed" in await project.run("logs", "--no-log-prefix", "loader")
    listed = await project.run(
        "exec", "-T", "api", "python", "-c", "import os; print(os.listdir('/backups'))"
    )
    assert ".zip" in listed
