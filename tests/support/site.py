"""The documentation as a site. `python -m tests.support.site` builds it in .site/html.

The pages keep their paths (README.md, docs/…), so a link works on a code host and in the site.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "docs", "sql")


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site in `folder`/html. A broken link or anchor fails the build."""
    shutil.rmtree(folder, ignore_errors=True)
    gather(folder / "pages")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    generator = str(Path(sys.executable).with_name("zensical"))
    return subprocess.run(
        [generator, "build", "--strict", "--config-file", str(folder / "mkdocs.yml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def built(folder: Path) -> Path:
    """Build the site; the folder of its HTML pages. AssertionError with the generator's output."""
    done = build(folder)
    assert done.returncode == 0, done.stdout
    return folder / "html"


def gather(pages: Path) -> None:
    """Copy the files that the site consists of."""
    pages.mkdir(parents=True)
    for name in PAGES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, pages / name, ignore=shutil.ignore_patterns("*.py*", "__*")
            )
        else:
            shutil.copy(ROOT / name, pages)


def main() -> None:
    done = build(ROOT / ".site")
    click.echo(done.stdout if done.returncode else f"Site: {ROOT / '.site/html/index.html'}")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
