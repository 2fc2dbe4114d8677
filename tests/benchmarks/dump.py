"""mysqldump and gzip, which backups are compared with."""

from __future__ import annotations

import subprocess
from pathlib import Path

from service.core.settings import Settings


def dump(container: str, settings: Settings, table: str, file: Path) -> None:
    """Write one table into a file: `mysqldump --single-transaction | gzip`.

    The client runs in the server's container, over its socket.
    """
    client = ["mysqldump", "--single-transaction", f"--user={settings.mysql_user}"]
    command = ["docker", "exec", "--env", f"MYSQL_PWD={settings.mysql_password}", container]
    command += [*client, settings.mysql_database, table]
    with (
        file.open("wb") as out,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as dumping,
    ):
        subprocess.run(["gzip"], stdin=dumping.stdout, stdout=out, check=True)
    if dumping.returncode:
        raise RuntimeError(f"mysqldump ended with {dumping.returncode}")
