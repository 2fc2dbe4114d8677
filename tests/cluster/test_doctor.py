"""Doctor on a cluster: it looks at every node, and at the tables on one that takes writes."""

from __future__ import annotations

import msgspec
import pytest

from service.cli.doctor.examination import examine
from service.cli.doctor.findings import Report
from service.core.database.connect import connect
from service.core.database.migrations import migrate
from tests.support import engine
from tests.support.clusters import NODES, Cluster, Galera, GroupReplication
from tests.support.processes import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


async def examined(cluster: Cluster) -> Report:
    settings = msgspec.structs.replace(
        cluster.settings,
        mysql_host=",".join(map(cluster.address, NODES)),
        api_pass="x",
        api_port=free_port(),
    )
    async with connect(settings) as database:
        await migrate(database)
    return await examine(engine.environment(settings), None)


def texts(report: Report, check: str) -> list[str]:
    return [one.text for one in report.findings if one.check == check]


async def test_a_group_has_one_server_for_writes(group_replication: GroupReplication) -> None:
    report = await examined(group_replication)
    assert [one for one in report.findings if one.status == "error"] == []
    answers = texts(report, "database")
    assert (len(answers), sum("for reads only" in text for text in answers)) == (3, 2)
    assert len(texts(report, "group")) == len(texts(report, "migrations")) == 1
    assert "group_replication_transaction_size_limit" in texts(report, "limits")[0]


async def test_each_node_of_galera_takes_writes(galera: Galera) -> None:
    report = await examined(galera)
    assert [one for one in report.findings if one.status == "error"] == []
    assert not any("for reads only" in text for text in texts(report, "database"))
    assert len(texts(report, "migrations")) == 1
    assert "wsrep_max_ws_size" in texts(report, "limits")[0]
