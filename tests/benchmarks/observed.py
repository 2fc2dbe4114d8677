"""python -m tests.benchmarks.observed: the service, which tells where its CPU time and memory go.

At SIGUSR1 it writes what it counted since the last one into the file OBSERVED. With TRACED=1 it
counts bytes instead, which makes it slow.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import tracemalloc
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL = 0.0005
"""Seconds of CPU time between two samples."""
PARTS = {
    "/service/web/access/": "credentials",
    "/service/core/rules/": "JSON and checks",
    "/service/core/writes/": "SQL",
    "/service/core/database/": "SQL",
    "/aiomysql/": "wire to the database",
    "/pymysql/": "wire to the database",
    "/structlog/": "log and metrics",
    "/logging/": "log and metrics",
    "/prometheus_client/": "log and metrics",
    "/service/web/traffic/": "log and metrics",
    "/uvicorn/": "HTTP",
    "/httptools/": "HTTP",
    "/litestar/": "framework and routing",
    "/service/web/": "framework and routing",
}
"""The parts of a request, by the folder of the innermost frame that is in one of them."""
OTHER = "event loop"


def part_of(frame: FrameType | None) -> str:
    """The part of a request that is at work."""
    while frame:
        name = frame.f_code.co_filename
        for folder, part in PARTS.items():
            if folder in name:
                return part
        frame = frame.f_back
    return OTHER


def main() -> None:
    """Run the service and observe it."""
    samples: Counter[str] = Counter()
    traced = os.environ.get("TRACED") == "1"

    def sample(_number: int, frame: FrameType | None) -> None:
        samples[part_of(frame)] += 1

    def write(_number: int, _frame: FrameType | None) -> None:
        held, peak = tracemalloc.get_traced_memory()
        found = {"samples": samples, "held": held, "peak": peak}
        file = Path(os.environ["OBSERVED"])
        file.with_suffix(".new").write_text(json.dumps(found))
        file.with_suffix(".new").rename(file)
        samples.clear()
        if traced:
            tracemalloc.reset_peak()

    if traced:
        tracemalloc.start()
    else:
        signal.signal(signal.SIGPROF, sample)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    signal.signal(signal.SIGUSR1, write)
    runpy.run_module("service", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
