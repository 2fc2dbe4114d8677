"""Doctor without a server: versions and grants."""

from __future__ import annotations

import pytest

from service.cli.doctor.privileges import NEEDED, held
from service.cli.doctor.server_checks import version as check_version
from service.cli.doctor.servers import Reached


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("9.7.4", "ok"),
        ("8.0.15", "error"),
        ("8.4.0-log", "ok"),
        ("10.6.12-MariaDB", "error"),
        ("11.4.2-MariaDB-ubu2404", "ok"),
        ("5.7.25-OceanBase seekdb-v1.4.0.0", "ok"),
        ("8.0.11-TiDB-v8.5.0", "ok"),
    ],
)
def test_versions_that_are_too_old_are_errors(version: str, status: str) -> None:
    async def unused(*_: object) -> list[tuple[object, ...]]:
        raise AssertionError

    reached = Reached("a:1", unused, version, {}, writes=True)
    assert check_version(reached).status == status


ALL = set(NEEDED)


@pytest.mark.parametrize(
    ("grants", "expected"),
    [
        (["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"], ALL),
        (["GRANT ALL PRIVILEGES ON *.* TO 'root' WITH GRANT OPTION"], ALL),
        (
            ["GRANT USAGE ON *.* TO `u`@`%`", "GRANT ALL PRIVILEGES ON `hire_base`.* TO `u`@`%`"],
            ALL,
        ),
        (["GRANT ALL PRIVILEGES ON `hire\\_base`.* TO `u`@`%`"], ALL),
        (["GRANT ALL PRIVILEGES ON `hire%`.* TO `u`@`%`"], ALL),
        (["GRANT ALL PRIVILEGES ON `hire`.* TO `u`@`%`"], set()),
        (["GRANT ALL PRIVILEGES ON `hireXbase\\_`.* TO `u`@`%`"], set()),
        (["GRANT SELECT, INSERT ON `hire_base`.* TO `u`@`%`"], {"SELECT", "INSERT"}),
        (["GRANT SELECT (`id`), INSERT ON `hire_base`.* TO `u`@`%`"], {"INSERT"}),
        (["GRANT DELETE ON *.* TO `u`@`%`", "REVOKE DELETE ON `hire_base`.* FROM `u`@`%`"], set()),
        (["GRANT SELECT ON `hire_base`.`a` TO `u`@`%`"], set()),
        ([f"GRANT SELECT ON `hire_base`.`{one}` TO `u`@`%`" for one in "ab"], {"SELECT"}),
        (["GRANT `role`@`%` TO `u`@`%`"], set()),
    ],
)
def test_grants_are_read_as_the_server_means_them(grants: list[str], expected: set[str]) -> None:
    assert held(grants, "hire_base", ["a", "b"]) == expected
