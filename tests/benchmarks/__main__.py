"""python -m tests.benchmarks: every figure beside its floor; worse than last time is marked."""

from __future__ import annotations

import asyncio
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
"""A ratio below this part of the last one is marked."""


@click.command(help="Measure, print each figure beside its floor, keep the last runs.")
@click.option("--json", "as_json", is_flag=True, help="Figures as JSON lines.")
@click.option("--short", is_flag=True, help="A quick run that proves that they run at all.")
@click.argument("names", nargs=-1)
def main(as_json: bool, short: bool, names: tuple[str, ...]) -> None:
    with server.mysql() as url:
        measured = [
            figure
            for name in names or modules()
            for figure in asyncio.run(
                import_module(f"{__package__}.{name}").figures(url, short=short)
            )
        ]
    before = _last()
    for figure in measured:
        click.echo(msgspec.json.encode(figure).decode() if as_json else _line(figure, before))
    if not short:
        _keep(measured)


def modules() -> list[str]:
    """The modules that measure something."""
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


def _keep(measured: list[Figure]) -> None:
    runs = HISTORY.read_text().splitlines() if HISTORY.exists() else []
    runs.append(msgspec.json.encode(measured).decode())
    HISTORY.write_text("\n".join(runs[-KEPT:]) + "\n")


if __name__ == "__main__":
    main()
