"""A backup into a file, beside mysqldump and gzip into a file of the same folder."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from service.core.backups import backup
from service.core.database.transactions import Database
from service.core.settings import Settings
from service.core.threads import in_thread
from tests.benchmarks import server
from tests.benchmarks.figures import Figure, beside, seconds, seconds_of
from tests.benchmarks.hires import EMPLOYEES


async def beside_mysqldump(
    settings: Settings, database: Database, hires: int, runs: int
) -> list[Figure]:
    """The rates and sizes of both; nothing if the server is not in a container here."""
    container = server.container_of(settings.mysql_port)
    if container is None:
        return []
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        avro, gzip = Path(folder) / "hires.avro", Path(folder) / "hires.sql.gz"
        for _ in range(runs):
            ours.append(hires / await seconds_of(_save(database, avro)))
            theirs.append(hires / seconds(lambda: _dump(container, settings, gzip)))
        sizes = [path.stat().st_size / 2**20 for path in (avro, gzip)]
    return [
        beside(
            "backup into a file, Avro/deflate",
            ours,
            "rows/s",
            floor=theirs,
            floor_name="mysqldump --single-transaction | gzip",
            wanted="≥ 1.0, aim 1.3",
        ),
        beside("its size", sizes[:1], "MiB", floor=sizes[1:], floor_name="mysqldump | gzip"),
    ]


async def _save(database: Database, path: Path) -> None:
    with path.open("wb") as file:
        async for piece in backup.stream_table(database, EMPLOYEES, "deflate"):
            await in_thread(file.write, piece)


def _dump(container: str, settings: Settings, path: Path) -> None:
    """`mysqldump --single-transaction | gzip`. The client runs in the server's container."""
    client = ["mysqldump", "--single-transaction", f"--user={settings.mysql_user}"]
    command = ["docker", "exec", "--env", f"MYSQL_PWD={settings.mysql_password}", container]
    command += [*client, settings.mysql_database, EMPLOYEES.name]
    with (
        path.open("wb") as out,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as dumping,
    ):
        subprocess.run(["gzip"], stdin=dumping.stdout, stdout=out, check=True)
    if dumping.returncode:
        raise RuntimeError(f"mysqldump ended with {dumping.returncode}")
