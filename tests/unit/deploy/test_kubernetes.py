"""deploy/kubernetes is valid and restricted, and agrees with the settings and the routes."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest

import service.__main__
from service.core.settings import Settings, Size
from service.web.app import create_app

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ["1.30", kubernetes_validate.latest_version().rpartition(".")[0]]
VARIABLES = {field.name.upper() for field in msgspec.structs.fields(Settings)}
USER = 10001
MIGRATION_SECONDS = 300
"""The time that a replica waits for the migrations of another one."""
Manifest = dict[str, Any]


def decoded(text: str) -> list[Manifest]:
    parts = re.split(r"(?m)^---$", text)
    return [msgspec.yaml.decode(part, type=Manifest) for part in parts]


def written() -> list[Manifest]:
    """All objects, as they are in the files."""
    kustomization = msgspec.yaml.decode((FOLDER / "kustomization.yaml").read_bytes(), type=Manifest)
    texts = [(FOLDER / name).read_text(encoding="utf-8") for name in kustomization["resources"]]
    return [manifest for text in texts for manifest in decoded(text)]


def rendered(folder: Path) -> list[Manifest]:
    """All objects, as kustomize makes them."""
    if shutil.which("kubectl") is None:
        pytest.skip("this machine has no kubectl, which contains kustomize")
    made = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return decoded(made.stdout)


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """The pods of the objects, by the name of the object."""
    return {
        manifest["metadata"]["name"]: template["spec"]
        for manifest in manifests
        if (template := _template(manifest.get("spec", {})))
    }


def _template(spec: Manifest) -> Manifest:
    inner = spec.get("jobTemplate", {}).get("spec", spec)
    template: Manifest = inner.get("template", {})
    return template


def one(kind: str, manifests: list[Manifest]) -> Manifest:
    (found,) = (manifest for manifest in manifests if manifest["kind"] == kind)
    return found


POD_NAMES = ["hirebase", "hirebase-backup", "hirebase-migrate"]
pod_of = partial(pytest.mark.parametrize, "name")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """All objects with the component for TLS."""
    folder = tmp_path_factory.mktemp("deploy") / "kubernetes"
    shutil.copytree(FOLDER, folder)
    file = folder / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    assert "\n#components: [tls]\n" in text
    file.write_text(text.replace("\n#components", "\ncomponents"), encoding="utf-8")
    return rendered(folder)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_files_are_valid(version: str) -> None:
    for manifest in written():
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_kustomize_makes_is_valid(version: str, tls: list[Manifest]) -> None:
    plain = rendered(FOLDER)
    assert len(plain) == len(written()) + 1  # the map of settings
    for manifest in [*plain, *tls]:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_mistake_is_found() -> None:
    deployment = one("Deployment", written())
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_every_file_is_used() -> None:
    used = msgspec.yaml.decode((FOLDER / "kustomization.yaml").read_bytes(), type=Manifest)
    files = {path.name for path in FOLDER.iterdir()} - {"kustomization.yaml", "settings.env", "tls"}
    assert files == set(used["resources"])


def settings_of(pod: Manifest) -> dict[str, str]:
    """The variables of the container, from the map and its own."""
    text = (FOLDER / "settings.env").read_text(encoding="utf-8")
    shared = dict(re.findall(r"(?m)^([^#=\n]+)=(.*)$", text))
    (container,) = pod["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "hirebase-settings"}}]
    return shared | {each["name"]: each["value"] for each in container.get("env", ())}


def test_pods_are_those_that_the_tests_know() -> None:
    assert sorted(pods(written())) == POD_NAMES


@pod_of(POD_NAMES)
def test_every_variable_is_one_that_the_program_reads(name: str) -> None:
    """The program ignores a misspelt name, so a test must find it."""
    found = settings_of(pods(written())[name])
    assert {"MYSQL_HOST", "MYSQL_PASSWORD_FILE"} <= set(found)
    assert {variable.removesuffix("_FILE") for variable in found} <= VARIABLES


def test_the_variables_for_tls_are_read_and_all_probes_use_it(tls: list[Manifest]) -> None:
    (container,) = pods(tls)["hirebase"]["containers"]
    given = {each["name"]: each["value"] for each in container["env"]}
    assert {"API_TLS_CERT", "API_TLS_KEY"} <= set(given) & VARIABLES
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(Path(given[name]).parent) for name in ("API_TLS_CERT", "API_TLS_KEY")} <= mounts
    assert {probe["httpGet"]["scheme"] for probe in probes(container)} == {"HTTPS"}


def probes(container: Manifest) -> Iterator[Manifest]:
    return (value for name, value in container.items() if name.endswith("Probe"))


@pod_of(POD_NAMES)
def test_secrets_and_folders_are_where_the_settings_say(name: str) -> None:
    pod = pods(written())[name]
    (container,) = pod["containers"]
    mounted = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    settings = settings_of(pod)
    needed = [value for variable, value in settings.items() if variable.endswith("_FILE")]
    if name != "hirebase-migrate":  # it writes no files
        needed += [value for variable, value in settings.items() if variable.endswith("_DIR")]
    assert [path for path in needed if not set(Path(path).parents) & set(mounted)] == []


def test_no_secret_is_in_the_files() -> None:
    assert [manifest for manifest in written() if manifest["kind"] == "Secret"] == []
    names = set(settings_of(pods(written())["hirebase"]))
    assert {name for name in names if "PASS" in name} == {"MYSQL_PASSWORD_FILE", "API_PASS_FILE"}


def test_probes_ask_public_routes_on_the_port_of_the_image() -> None:
    (container,) = pods(written())["hirebase"]["containers"]
    (port,) = container["ports"]
    containerfile = (ROOT / "Containerfile").read_text(encoding="utf-8")
    assert f"API_PORT={port['containerPort']}" in containerfile
    paths = create_app(Settings(api_pass="unused")).openapi_schema.to_schema()["paths"]
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness")}
    asked["readiness"] = container["readinessProbe"]["httpGet"]
    assert {get["port"] for get in asked.values()} == {port["name"]}
    assert asked["readiness"]["path"] == "/health/ready"
    for get in asked.values():
        assert paths[get["path"]]["get"]["security"] == []


def test_the_time_of_a_start_and_of_a_stop_suffice() -> None:
    pod = pods(written())["hirebase"]
    startup = pod["containers"][0]["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > MIGRATION_SECONDS
    values = {n: v for n, v in settings_of(pod).items() if not n.endswith("_FILE")}
    settings = Settings.from_environment(values)
    stop = settings.api_shutdown_delay + settings.mysql_timeout
    assert pod["terminationGracePeriodSeconds"] >= stop + 10
    readiness = pod["containers"][0]["readinessProbe"]
    assert settings.api_shutdown_delay > readiness["periodSeconds"] * readiness["failureThreshold"]


@pod_of(POD_NAMES)
def test_every_pod_is_restricted(name: str) -> None:
    pod = pods(written())[name]
    (container,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is pod["enableServiceLinks"] is False
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} == set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    assert f"USER {USER}:{USER}" in (ROOT / "Containerfile").read_text(encoding="utf-8")


@pod_of(POD_NAMES)
def test_every_command_is_one_of_the_program(name: str) -> None:
    (container,) = pods(written())[name]["containers"]
    module, *arguments = container["args"]
    assert (container["image"], module) == ("hirebase", "service")
    if arguments:
        command = service.__main__.main.commands[arguments[0]]
        command.make_context(arguments[0], arguments[1:])


def test_labels_select_the_pods_of_the_api() -> None:
    manifests = written()
    deployment = one("Deployment", manifests)["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    spread = deployment["template"]["spec"]["topologySpreadConstraints"]
    selectors = [constraint["labelSelector"]["matchLabels"] for constraint in spread]
    selectors.append(deployment["selector"]["matchLabels"])
    selectors.append(one("PodDisruptionBudget", manifests)["spec"]["selector"]["matchLabels"])
    selectors.append(one("Service", manifests)["spec"]["selector"])
    assert all(selector == labels for selector in selectors)
    others = [_template(one(kind, manifests)["spec"]) for kind in ("Job", "CronJob")]
    assert all(other["metadata"]["labels"] != labels for other in others)


def test_two_uploads_fit_in_the_folder_for_temporary_files() -> None:
    """A pod that exceeds the limit of the folder is evicted, with all its requests."""
    pod = pods(written())["hirebase"]
    (limit,) = (
        volume["emptyDir"]["sizeLimit"]
        for volume in pod["volumes"]
        if volume["name"] == "temporary"
    )
    upload = Size.parse(settings_of(pod)["API_MAX_UPLOAD"])
    assert 2 * upload <= Size.parse(limit.removesuffix("i"))


def test_the_network_policy_names_the_ports_in_use() -> None:
    policy = one("NetworkPolicy", written())["spec"]
    (port,) = one("Service", written())["spec"]["ports"]
    assert [each["port"] for rule in policy["ingress"] for each in rule["ports"]] == [port["port"]]
    out = {each["port"] for rule in policy["egress"] for each in rule["ports"]}
    assert out == {53, Settings().mysql_port}


def test_what_the_server_would_add_to_lists_and_unions_is_written() -> None:
    """Otherwise each `kubectl apply` sends the object again, and says that it changed."""
    assert one("Deployment", written())["spec"]["strategy"]["type"] == "RollingUpdate"
    policy = one("NetworkPolicy", written())["spec"]
    ports = [port for rule in policy["ingress"] + policy["egress"] for port in rule["ports"]]
    ports += one("Service", written())["spec"]["ports"]
    assert all("protocol" in port for port in ports)


def test_replicas_share_one_volume() -> None:
    claim = one("PersistentVolumeClaim", written())
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for name in ("hirebase", "hirebase-backup"):
        volumes = {each["name"]: each for each in pods(written())[name]["volumes"]}
        assert volumes["files"]["persistentVolumeClaim"] == {"claimName": "hirebase-files"}
