"""MariaDB in a Galera cluster, where every node takes writes: processes of this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from getpass import getuser
from pathlib import Path
from typing import Any

from tests.support.clusters.cluster import AWAY, CREATE_USER, EMPTY, NODES, Cluster
from tests.support.processes import free_port

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
PROGRAMS = ("mariadbd", "mariadb-install-db", "rsync", "lsof")
NEW = "--wsrep-new-cluster"
USER = "mysql" if os.getuid() == 0 else getuser()
"""Root may not be it: rsync gives up root's rights."""


class Galera(Cluster):
    """A cluster of the system's packages."""

    NAME = "Galera"
    STATE = (
        "SELECT CONCAT(MAX(IF(VARIABLE_NAME = 'WSREP_LOCAL_STATE_COMMENT', VARIABLE_VALUE, '')), "
        "' ', MAX(IF(VARIABLE_NAME = 'WSREP_CLUSTER_STATUS', VARIABLE_VALUE, '')), ' of ', "
        "MAX(IF(VARIABLE_NAME = 'WSREP_CLUSTER_SIZE', VARIABLE_VALUE, ''))) "
        "FROM information_schema.GLOBAL_STATUS"
    )
    IN_SYNC = "Synced Primary"

    def __init__(self, flags: tuple[str, ...] = ()):
        super().__init__(flags)
        self._transfer_ports = {n: (free_port(), free_port()) for n in NODES}
        self._folder = Path(tempfile.mkdtemp(prefix="galera-"))
        shutil.chown(self._folder, USER)

    @classmethod
    def missing(cls) -> str | None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if not any(Path(provider).exists() for provider in PROVIDERS):
            missing.append("the Galera library")
        return ", ".join(missing) or None

    async def bootstrap(self, n: int) -> None:
        """Let a node without a majority continue alone."""
        await self.sql(n, "SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'")

    async def writer(self) -> int:
        return next(n for n, state in (await self.status()).items() if self._takes_part(state))

    async def _form(self) -> None:
        for n in NODES:
            options = [*self._options(n), *self.flags]
            self._nodes[n] = Process(self._folder / str(n), options)
        first = self._nodes[1]
        assert isinstance(first, Process)
        first.install()
        first.start(NEW)
        await self._join(1)
        for n in NODES[1:]:
            await self.start(n)
        await self.sql(1, *EMPTY, *CREATE_USER, "DROP USER IF EXISTS ''@localhost")

    async def _join(self, n: int) -> None:
        await self._until(n, self._takes_part)

    async def _rejoin(self) -> None:
        states = await self.status()
        running = [n for n in NODES if states[n] != AWAY]
        if running and not any(" Primary" in state for state in states.values()):
            await self.bootstrap(running[0])

    def _root(self, n: int) -> dict[str, Any]:
        return {"user": "root", "host": "127.0.0.1", "port": self.ports[n]}

    def _remove(self) -> None:
        super()._remove()
        shutil.rmtree(self._folder)

    def _options(self, n: int) -> list[str]:
        port = self.group_ports[n]
        snapshot, increment = self._transfer_ports[n]
        provider = {
            "base_host": "127.0.0.1",
            "base_port": port,
            "gmcast.listen_addr": f"tcp://127.0.0.1:{port}",
            "ist.recv_addr": f"127.0.0.1:{increment}",
            "evs.keepalive_period": "PT0.5S",
            "evs.suspect_timeout": "PT2S",
            "evs.inactive_timeout": "PT4S",
            "evs.install_timeout": "PT4S",
        }
        group = {
            "on": "ON",
            "provider": next(path for path in PROVIDERS if Path(path).exists()),
            "cluster-name": "hirebase",
            "cluster-address": "gcomm://"
            + ",".join(f"127.0.0.1:{port}" for port in self.group_ports.values()),
            "node-name": f"node{n}",
            "node-address": f"127.0.0.1:{port}",
            "sst-method": "rsync",
            "sst-receive-address": f"127.0.0.1:{snapshot}",
            "provider-options": ";".join(f"{name}={value}" for name, value in provider.items()),
        }
        return [
            *("--bind-address=127.0.0.1", f"--port={self.ports[n]}", "--max-connections=300"),
            *("--character-set-server=utf8mb4", "--innodb-buffer-pool-size=256M"),
            *("--binlog-format=ROW", "--innodb-autoinc-lock-mode=2"),
            *(f"--wsrep-{name}={value}" for name, value in group.items()),
        ]


class Process:
    """A server as a process, with its data in a folder."""

    def __init__(self, folder: Path, options: list[str]):
        self._folder = folder
        self._data = [f"--user={USER}", f"--datadir={folder / 'data'}"]
        self._options = [*self._data, f"--socket={folder / 'socket'}", *options]
        self._running: subprocess.Popen[bytes] | None = None
        for made in (folder, folder / "data"):
            made.mkdir()
            shutil.chown(made, USER)

    def install(self) -> None:
        """Make the data directory."""
        command = ["mariadb-install-db", "--no-defaults", *self._data]
        command.append("--auth-root-authentication-method=normal")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start(self, *options: str) -> None:
        command = ["mariadbd", "--no-defaults", *self._options, *options]
        with (self._folder / "log").open("ab") as log:
            self._running = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        assert self._running
        self._running.send_signal(signal.SIGSTOP)

    def unpause(self) -> None:
        assert self._running
        self._running.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Kill the server, and the copies to other nodes that it started."""
        if self._running and self.is_running:
            os.killpg(self._running.pid, signal.SIGKILL)
            self._running.wait()

    def _signal(self, how: signal.Signals) -> None:
        assert self._running
        self._running.send_signal(how)
        self._running.wait(60)
