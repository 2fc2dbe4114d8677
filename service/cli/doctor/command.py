"""The command doctor, and how its report is printed."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator

import click
import msgspec

from service.cli.doctor.examination import examine
from service.cli.doctor.findings import Finding, Report

FAILED = 1


@click.command(
    name="doctor",
    help="Check settings, folders, database, backups and service. Change nothing.",
    epilog="Exit codes: 0 healthy (there may be warnings), 1 something is wrong.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--max-backup-age",
    type=click.FloatRange(min=0, min_open=True),
    metavar="HOURS",
    help="It is an error if the newest backup of all tables is older.",
)
def doctor_command(as_json: bool, max_backup_age: float | None) -> None:
    # Findings tell what the log would repeat.
    logging.getLogger("hirebase").addHandler(logging.NullHandler())
    report = asyncio.run(examine(os.environ, max_backup_age))
    click.echo(msgspec.json.encode(report).decode() if as_json else "\n".join(lines(report)))
    if not report.healthy:
        sys.exit(FAILED)


def lines(report: Report) -> Iterator[str]:
    """The report as text."""
    yield f"hirebase {report.program}, Python {report.python}"
    yield "\nSettings"
    width = max(len(one.name) for one in report.settings)
    for one in report.settings:
        yield f"  {one.name:{width}}  {one.value or '-'}  [{one.source}]"
    yield "\nChecks"
    width = max(len(one.check) for one in report.findings)
    for finding in report.findings:
        yield from _lines(finding, width)
    yield f"\n{_counted(report)}"


def _lines(finding: Finding, width: int) -> Iterator[str]:
    yield f"  {finding.status:7}  {finding.check:{width}}  {finding.text}"
    if finding.remedy:
        yield f"  {'':7}  {'':{width}}  -> {finding.remedy}"


def _counted(report: Report) -> str:
    counts = Counter(one.status for one in report.findings)
    found = [
        f"{count} {status}{'s' if count > 1 else ''}"
        for status in ("error", "warning")
        if (count := counts[status])
    ]
    return f"{'Healthy' if report.healthy else 'Not healthy'}: {', '.join(found) or 'no errors'}."
