""".env.example, compose.yaml, the Containerfile and the sample agree with the code."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.core.settings import OLD_NAMES, Settings
from tests.support import sample

ROOT = Path(__file__).parents[3]
VARIABLES = {field.name.upper() for field in msgspec.structs.fields(Settings)}
PYTHON = {"TMPDIR"}
"""Python itself reads it."""
COMPOSE_ONLY = {"MYSQL_ROOT_PASSWORD", "MYSQL_REPLICATION_PASSWORD"}


def example() -> dict[str, str]:
    """The variables of .env.example with their values, including those in comments."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text, re.MULTILINE))


def compose() -> dict[str, Any]:
    return msgspec.yaml.decode((ROOT / "compose.yaml").read_bytes(), type=dict[str, Any])


def environment(service: str) -> dict[str, Any]:
    variables: dict[str, Any] = compose()["services"][service].get("environment", {})
    return variables


def test_the_example_has_every_variable_and_no_other() -> None:
    assert set(example()) - COMPOSE_ONLY == VARIABLES


def test_every_variable_of_the_example_is_explained_on_the_line_above() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.match(r"#?[A-Z_]+=", line):
            assert above.startswith("# "), line


def test_the_values_of_the_example_can_be_used() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    active = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.MULTILINE))
    assert Settings.from_environment(active).api_user == "admin"


def test_the_defaults_in_the_example_are_those_of_the_code() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^#([A-Z_]+)=([^'\s].*)$", text, re.MULTILINE))
    assert shown
    for name, value in shown.items():
        assert Settings.from_environment({name: value}) == Settings(), name


@pytest.mark.parametrize(("new", "old"), OLD_NAMES.items())
def test_an_old_name_is_listed_as_deprecated(new: str, old: str) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
    assert re.search(rf"(?m)^- \*\*Deprecated\*\*: `{old}`.* `{new}`.*until version", changelog)
    assert re.search(rf"(?m)^\| `{old}` \| `{new}` \| [\d.]+ \|$", page)


def test_the_loader_and_the_api_get_the_same_database() -> None:
    loader = environment("loader")
    assert {"MYSQL_HOST", "MYSQL_USER", "MYSQL_PASSWORD", "MYSQL_DATABASE"} <= set(loader)
    assert loader.items() <= environment("api").items()


def test_compose_gives_credentials_only_to_the_api() -> None:
    credentials = {name for name in VARIABLES if name.startswith(("API_USER", "API_PASS"))}
    assert credentials <= set(environment("api"))
    assert not credentials & set(environment("loader"))


def test_compose_and_the_image_set_only_variables_that_the_program_reads() -> None:
    """The program ignores a misspelt name, so a test must find it."""
    containerfile = (ROOT / "Containerfile").read_text(encoding="utf-8")
    image = set(re.findall(r"\b((?:API|MYSQL|LOG|[A-Z]+_DIR|[A-Z]+_HOURS)[A-Z_]*)=", containerfile))
    assert {"API_HOST", "DATA_DIR"} <= image
    assert image | set(environment("api")) | set(environment("loader")) <= VARIABLES | PYTHON


def test_compose_passes_every_other_variable_from_its_env_file() -> None:
    folders = {name for name in VARIABLES if name.endswith("_DIR")}
    fixed = folders | {"API_HOST", "API_PORT", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    fixed |= {"MYSQL_SSL_CA", "API_TLS_CERT", "API_TLS_KEY"}
    assert set(environment("api")) - PYTHON == VARIABLES - fixed


def test_uploads_of_compose_wait_on_a_disk() -> None:
    api = compose()["services"]["api"]
    folder = api["environment"]["TMPDIR"]
    assert f"uploads:{folder}" in api["volumes"]
    assert folder not in api["tmpfs"]
    assert folder in (ROOT / "Containerfile").read_text(encoding="utf-8")


def test_compose_uses_only_variables_of_the_example() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) <= {*example(), *OLD_NAMES.values()}


def test_compose_starts_database_then_loader_then_api() -> None:
    services = compose()["services"]
    assert services["loader"]["depends_on"]["db"]["condition"] == "service_healthy"
    assert services["api"]["depends_on"]["loader"]["condition"] == "service_completed_successfully"


@pytest.mark.parametrize("name", ["departments", "jobs", "hired_employees"])
def test_the_generator_writes_the_shipped_sample(tmp_path: Path, name: str) -> None:
    sample.generate(tmp_path)
    shipped = sample.FOLDER / f"{name}.csv"
    assert (tmp_path / f"{name}.csv").read_bytes() == shipped.read_bytes()
