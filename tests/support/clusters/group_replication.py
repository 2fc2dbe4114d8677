"""MySQL in a Group Replication group with a single primary, in containers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pymysql

from tests.support import engine
from tests.support.clusters.cluster import (
    AWAY,
    CREATE_USER,
    EMPTY,
    NODES,
    READY_SECONDS,
    USER,
    Cluster,
)

MEMBERS = "performance_schema.replication_group_members"
RIGHTS = "REPLICATION SLAVE, BACKUP_ADMIN, CONNECTION_ADMIN, GROUP_REPLICATION_STREAM"
LOGIN = "SOURCE_USER = 'replica', SOURCE_PASSWORD = 'replica-1'"
PREPARE = (
    "SET SQL_LOG_BIN = 0",
    "CREATE USER replica@'%' IDENTIFIED BY 'replica-1'",
    f"GRANT {RIGHTS} ON *.* TO replica@'%'",
    "RESET BINARY LOGS AND GTIDS",
    f"CHANGE REPLICATION SOURCE TO {LOGIN} FOR CHANNEL 'group_replication_recovery'",
)


class GroupReplication(Cluster):
    """A group of containers in the network of the host, so that no proxy hides a fault."""

    NAME = "Group Replication"
    STATE = (
        f"SELECT CONCAT(MEMBER_STATE, ' ', MEMBER_ROLE, ' of ', (SELECT COUNT(*) FROM {MEMBERS} "
        f"WHERE MEMBER_STATE = 'ONLINE')) FROM {MEMBERS} WHERE MEMBER_ID = @@server_uuid"
    )
    IN_SYNC = "ONLINE"

    @classmethod
    def missing(cls) -> str | None:
        return None if engine.has_container_engine() else "a container engine"

    async def writer(self) -> int:
        return await self.primary()

    async def primary(self) -> int:
        """The node that takes writes, as the largest part of the group sees it."""
        states = await self.status()
        found = [n for n, state in states.items() if state.startswith("ONLINE PRIMARY")]
        assert found, f"the group has no primary: {states}"
        return max(found, key=lambda n: states[n][-1])

    async def switch_primary(self, n: int) -> None:
        """Make a node the primary, as before planned maintenance."""
        change = "SELECT group_replication_set_as_primary(@@server_uuid)"
        await self.sql(n, change, seconds=READY_SECONDS)

    async def _form(self) -> None:
        for n in NODES:
            await asyncio.to_thread(self._create, n)
        for n in NODES:
            await asyncio.to_thread(engine.wait_for_mysql, "127.0.0.1", self.ports[n])
            await self.sql(n, *PREPARE)
        await self.sql(1, "SET GLOBAL group_replication_bootstrap_group = ON")
        await self._join(1)
        await self.sql(1, "SET GLOBAL group_replication_bootstrap_group = OFF")
        await asyncio.gather(*map(self._join, NODES[1:]))
        await self.sql(1, *EMPTY, *CREATE_USER, f"GRANT SELECT ON {MEMBERS} TO {USER}@'%'")

    async def _join(self, n: int) -> None:
        """Join, and retry while the group still counts the node that was killed as a member."""
        await self._until(n, lambda state: state != AWAY)
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                await self.sql(n, "START GROUP_REPLICATION", seconds=READY_SECONDS)
                break
            except pymysql.Error:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.5)
        await self._until(n, self._takes_part)

    async def _rejoin(self) -> None:
        for n, state in (await self.status()).items():
            if state.startswith(("OFFLINE", "ERROR")):
                await self.sql(n, "STOP GROUP_REPLICATION", seconds=READY_SECONDS)
                await self._join(n)

    def _root(self, n: int) -> dict[str, Any]:
        root = {"user": "root", "password": engine.ROOT_PASSWORD}
        return {"host": "127.0.0.1", "port": self.ports[n]} | root

    def _create(self, n: int) -> None:
        command = ["mysqld", *self._options(n), *self.flags]
        self._nodes[n] = Container(command)

    def _options(self, n: int) -> list[str]:
        """`loose`, because the plugin is not loaded while the data directory is made."""
        group = {
            "group-name": "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa",
            "start-on-boot": "OFF",
            "local-address": f"127.0.0.1:{self.group_ports[n]}",
            "group-seeds": ",".join(f"127.0.0.1:{port}" for port in self.group_ports.values()),
            "ip-allowlist": "127.0.0.0/8",
            "recovery-get-public-key": "ON",
            "member-expel-timeout": "0",
            "unreachable-majority-timeout": "5",
            "autorejoin-tries": "3",
        }
        return [
            *(f"--port={self.ports[n]}", "--bind-address=127.0.0.1", f"--server-id={n}"),
            *("--report-host=127.0.0.1", f"--report-port={self.ports[n]}", "--mysqlx=OFF"),
            *("--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--max-connections=300"),
            *("--innodb-buffer-pool-size=256M", "--innodb-redo-log-capacity=512M"),
            "--plugin-load-add=group_replication.so",
            *(f"--loose-group-replication-{name}={value}" for name, value in group.items()),
        ]


class Container:
    """A server in a container. Its data is on disk, so that it is there after a kill."""

    def __init__(self, command: list[str]):
        from testcontainers.core.container import DockerContainer

        started = DockerContainer(engine.IMAGE, network_mode="host")
        started.with_env("MYSQL_ROOT_PASSWORD", engine.ROOT_PASSWORD).with_command(command)
        self._container = started.start().get_wrapped_container()

    @property
    def is_running(self) -> bool:
        self._container.reload()
        return bool(self._container.status == "running")

    def start(self) -> None:
        self._container.start()

    def stop(self) -> None:
        self._container.stop(timeout=30)

    def kill(self) -> None:
        self._container.kill()
        self._container.wait()

    def pause(self) -> None:
        self._container.pause()

    def unpause(self) -> None:
        self._container.unpause()

    def remove(self) -> None:
        self._container.remove(force=True, v=True)
