"""Python code in the documentation, for tests that run it."""

from __future__ import annotations

import re

from tests.support.program import ROOT


def snippets(page: str, address: str, password: str) -> list[str]:
    """The Python blocks of a page, with the address and the password of a service."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8000", address).replace('"secret"', f'"{password}"')
    return re.findall(r"(?ms)^```python\n(.*?)^```", text)
