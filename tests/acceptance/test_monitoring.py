"""The alerts and the dashboard of examples/monitoring use what a real service exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.core.settings import Settings
from tests.conftest import PASSWORD, USER
from tests.support import engine
from tests.support.processes import free_port
from tests.support.program import ROOT, Service
from tests.support.waiting import until

FOLDER = ROOT / "examples" / "monitoring"
RULES = FOLDER / "rules.yml"
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
METRIC = re.compile(r"\bhirebase_\w+")
OF_PROMETHEUS = {"job", "instance"}
"""The labels that Prometheus adds."""


def read(path: Path) -> Any:
    return msgspec.yaml.decode(path.read_bytes())


def alerts() -> list[dict[str, Any]]:
    return [rule for group in read(RULES)["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    """The queries of the dashboard, as Grafana sends them."""
    return [
        target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]


@pytest.fixture(scope="module")
async def used(
    migrated: Settings, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """A service that has loaded files and done a bit of everything."""
    folder = tmp_path_factory.mktemp("monitored")
    (folder / "jobs.csv").write_text("901,Clerk\n902,\n")
    own = msgspec.structs.replace(migrated, data_dir=folder, rejects_dir=folder, backup_dir=folder)
    variables = engine.environment(own)
    variables.pop("API_PORT")
    service = await Service.started("--load", **variables)
    async with service.client(USER, PASSWORD) as client:
        await client.post("/jobs", json=[{"job": "Judge"}, {"job": ""}])
        await client.get("/avro/backup/jobs")
        await client.get("/health/ready")
    yield service
    await service.end()


@pytest.fixture
async def exported(used: Service) -> dict[str, set[str]]:
    """The labels of each metric that the service exports."""
    async with used.client(USER, PASSWORD) as client:
        text = (await client.get("/metrics")).text
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_each_metric_of_an_alert_is_exported(exported: dict[str, set[str]]) -> None:
    named = {name for alert in alerts() for name in METRIC.findall(alert["expr"])}
    assert named
    assert named <= set(exported)


async def test_the_series_that_test_the_alerts_have_the_labels_of_the_service(
    exported: dict[str, set[str]],
) -> None:
    for test in read(FOLDER / "rules_test.yml")["tests"]:
        for series in test["input_series"]:
            name, _, labels = series["series"].partition("{")
            if name != "up":
                assert set(re.findall(r"(\w+)=", labels)) - OF_PROMETHEUS == exported[name]


async def test_the_dashboard_shows_each_exported_metric(exported: dict[str, set[str]]) -> None:
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in exported}
    shown = {name for query in queries() for name in METRIC.findall(query)}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in shown} == {
        name for name in families if name.startswith("hirebase_")
    }
    assert shown <= set(exported)


def test_the_panels_of_the_dashboard_are_complete() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(panels)))
    assert used == variables
    assert all(panel["title"] and panel["fieldConfig"]["defaults"]["unit"] for panel in panels)


def test_each_alert_says_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert set(alert["annotations"]) == {"summary", "action"}


def promtool(*arguments: str) -> str:
    ended = subprocess.run(
        ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="no Prometheus (apt-get install prometheus)",
)


@needs_prometheus
def test_the_alerts_fire_when_they_should() -> None:
    assert f"SUCCESS: {len(alerts())} rules found" in promtool("check", "rules", "rules.yml")
    promtool("test", "rules", "rules_test.yml")
    tested = (FOLDER / "rules_test.yml").read_text(encoding="utf-8")
    assert all(f'alertname="{alert["alert"]}"' in tested for alert in alerts())


@pytest.fixture
def prometheus(used: Service, tmp_path: Path) -> Iterator[httpx.Client]:
    """A real Prometheus with the example's configuration, which scrapes the service each second."""
    for path in FOLDER.glob("*.yml"):
        text = path.read_text(encoding="utf-8").replace("15s", "1s")
        (tmp_path / path.name).write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{used.port}"))
    (tmp_path / "password").write_text(PASSWORD)
    promtool("check", "config", str(tmp_path / "prometheus.yml"))
    port = free_port()
    options = (
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    process = subprocess.Popen(["prometheus", *options])
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1/", trust_env=False) as client:
        yield client
    process.terminate()
    process.wait()


def ask(prometheus: httpx.Client, query: str) -> list[Any]:
    """The result of a query; none while Prometheus starts."""
    try:
        reply = prometheus.get("query", params={"query": query})
    except httpx.TransportError:
        return []
    if reply.status_code == 503:
        return []
    assert reply.status_code == 200, reply.text
    result: list[Any] = reply.json()["data"]["result"]
    return result


def rules_of(prometheus: httpx.Client) -> list[dict[str, Any]]:
    groups = prometheus.get("rules").json()["data"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


@needs_prometheus
async def test_a_real_prometheus_answers_each_query(
    used: Service, prometheus: httpx.Client
) -> None:
    async def answered() -> bool:
        async with used.client(USER, PASSWORD) as client:
            await client.post("/jobs", json=[{"job": "Judge"}, {"job": ""}])
        return not [query for query in queries() if not ask(prometheus, query)]

    await until(answered, 60)
    assert [sample["value"][1] for sample in ask(prometheus, "up")] == ["1"]
    rules = rules_of(prometheus)
    assert len(rules) == len(alerts())
    assert {rule["health"] for rule in rules} == {"ok"}
    assert ask(prometheus, 'ALERTS{alertstate="firing"}') == []
