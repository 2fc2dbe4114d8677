"""`make audit` without a network."""

from __future__ import annotations

import os
import subprocess

from tests.support.program import ROOT


def test_an_audit_without_a_network_fails_and_says_so() -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    kept = {name: value for name, value in os.environ.items() if name.upper() != "NO_PROXY"}
    ended = subprocess.run(
        ["make", "audit"], cwd=ROOT, env=kept | nowhere, capture_output=True, text=True, check=False
    )
    assert ended.returncode != 0
    assert "nothing was audited" in ended.stderr
    assert "Traceback" not in ended.stderr
