"""compose.cluster.yaml and the files that it mounts agree with compose.yaml and with each other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.core.settings import OLD_NAMES
from tests.unit.docs.test_configuration import example

ROOT = Path(__file__).parents[3]
FILE = ROOT / "compose.cluster.yaml"
NODES = ["db-1", "db-2", "db-3"]
REPLICAS = ["api-1", "api-2"]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services; the tags of Compose only say how a value is merged with compose.yaml."""
    text = re.sub(r"!(?:reset|override)\b", "", FILE.read_text(encoding="utf-8"))
    found: dict[str, Any] = msgspec.yaml.decode(text)["services"]
    return found


def options(services: dict[str, Any]) -> dict[str, str]:
    """The options of a node, by name."""
    pairs = (option.removeprefix("--").partition("=") for option in services["db-1"]["command"][1:])
    return {name.removeprefix("loose-"): value for name, _, value in pairs}


def test_it_uses_only_variables_of_the_example() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) <= {*example(), *OLD_NAMES.values()}


def test_the_nodes_differ_only_in_name_and_volume(services: dict[str, Any]) -> None:
    for name in NODES:
        rest = services[name] | {"hostname": "db-1", "volumes": services["db-1"]["volumes"]}
        assert rest == services["db-1"]
        assert services[name]["hostname"] == name
        assert services[name]["volumes"][0] == f"{name}:/var/lib/mysql"


def test_everything_names_the_same_nodes(services: dict[str, Any]) -> None:
    seeds = [f"{name}:33061" for name in NODES]
    assert options(services)["group-replication-group-seeds"].split(",") == seeds
    assert services["group"]["environment"]["NODES"].split() == NODES
    for name in ("loader", "api-1"):
        assert services[name]["environment"]["MYSQL_HOST"].split(",") == NODES


def test_options_of_plugins_do_not_stop_the_preparation_of_a_node(services: dict[str, Any]) -> None:
    """The image prepares the data directory with these options and without plugins."""
    command = services["db-1"]["command"]
    assert [option for option in command if option.startswith("--group-replication")] == []


def test_both_replicas_are_the_api_of_the_single_server(services: dict[str, Any]) -> None:
    assert services["api-1"]["extends"] == {"file": "compose.yaml", "service": "api"}
    assert services["api-2"] == {"extends": {"service": "api-1"}}
    assert services["loader"]["extends"] == {"file": "compose.yaml", "service": "loader"}
    assert [name for name in REPLICAS if services[name].get("ports")] == []


def test_the_group_is_formed_before_the_loader_and_the_loader_ends_before_the_api(
    services: dict[str, Any],
) -> None:
    done = {"condition": "service_completed_successfully"}
    assert services["loader"]["depends_on"] == {"group": done}
    assert services["api-1"]["depends_on"] == {"loader": done}


def test_only_the_proxy_has_a_port_and_only_on_this_machine(services: dict[str, Any]) -> None:
    ports = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert ports == {"proxy": ["127.0.0.1:${API_PORT:-8000}:8000"]}


def test_the_proxy_checks_every_replica(services: dict[str, Any]) -> None:
    text = (ROOT / "cluster" / "haproxy.cfg").read_text(encoding="utf-8")
    for backend in re.split(r"(?m)^backend ", text)[1:]:
        found = re.findall(r"(?m)^  server (\S+) (\S+)$", backend)
        assert found == [(name, f"{name}:8000") for name in REPLICAS]
        assert f"GET /health/{backend.split()[0]}" in backend


def test_the_pages_name_only_services_that_it_has(services: dict[str, Any]) -> None:
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    commands = re.findall(r"-f compose\.cluster\.yaml (?:up|start|run|logs|rm)\b([^`\n]*)", text)
    words = [word for command in commands for word in command.split() if word[0] not in '-N"']
    named = [word for word in words if not re.fullmatch(r'NODES=.*|db-2"', word)]
    assert named
    assert set(named) <= set(services)


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    mounts = [str(one) for service in services.values() for one in service.get("volumes", ())]
    files = {mount.partition(":")[0] for mount in mounts if mount.startswith("./cluster")}
    assert files == {f"./cluster/{path.name}" for path in (ROOT / "cluster").iterdir()}


@pytest.mark.parametrize("name", ["form_group.sh", "start_node.sh"])
def test_the_scripts_have_no_errors_of_syntax(name: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / "cluster" / name)], check=True)
