"""python -m tests.benchmarks: each figure beside its floor, marked if it became worse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import click
import msgspec

from tests.benchmarks import __path__ as here
from tests.benchmarks import server
from tests.benchmarks.figures import Figure

HISTORY = Path(__file__).parent / "history.jsonl"
KEPT = 20
WORSE = 0.9
"""A ratio below this fraction of the last one is marked."""


@click.command(help="Measure, print each figure beside its floor, and store the run.")
@click.option("--json", "as_json", is_flag=True, help="Print figures as JSON lines.")
@click.option("--short", is_flag=True, help="Run quickly, only to check that the benchmarks work.")
@click.argument("names", nargs=-1)
def main(as_json: bool, short: bool, names: tuple[str, ...]) -> None:
    before, measured = _last(), list[Figure]()

    def take(figure: Figure) -> None:
        click.echo(msgspec.json.encode(figure).decode() if as_json else _line(figure, before))
        measured.append(figure)

    with server.mysql() as url:
        for name in names or modules():
            asyncio.run(_measure(name, url, short, take))
    if not short:
        _store(measured)


async def _measure(name: str, url: str, short: bool, take: Callable[[Figure], None]) -> None:
    """Measure what one module has; each figure is taken as soon as it is known."""
    module = import_module(f"{__package__}.{name}")
    async with aclosing(module.figures(url, short=short)) as figures:
        async for figure in figures:
            take(figure)


def modules() -> list[str]:
    """The modules that have benchmarks."""
    names = sorted(module.name for module in iter_modules(here))
    return [name for name in names if hasattr(import_module(f"{__package__}.{name}"), "figures")]


def _line(figure: Figure, before: dict[str, Figure]) -> str:
    last = before.get(figure.name)
    if figure.ratio and last and last.ratio and figure.ratio < last.ratio * WORSE:
        return f"{figure}  !! worse than the last run's {last.ratio:.2f}"
    return str(figure)


def _last() -> dict[str, Figure]:
    runs = HISTORY.read_text().splitlines() if HISTORY.exists() else []
    decoded = (msgspec.json.decode(run, type=list[Figure]) for run in runs)
    return {figure.name: figure for run in decoded for figure in run}


def _store(measured: list[Figure]) -> None:
    runs = HISTORY.read_text().splitlines() if HISTORY.exists() else []
    runs.append(msgspec.json.encode(measured).decode())
    HISTORY.write_text("\n".join(runs[-KEPT:]) + "\n")


if __name__ == "__main__":
    main()
