"""Summaries of jobs for the pages that follow them."""

from __future__ import annotations

import asyncio
from typing import Any

from service.web.console.jobs import Jobs

WATCH_SECONDS = 0.5
"""Time between two queries for a job that a page follows."""


class Summaries:
    """Summaries of jobs: one query in WATCH_SECONDS serves all pages that follow a job."""

    def __init__(self, jobs: Jobs):
        self._jobs = jobs
        self._recent: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def recent(self, job_id: str) -> dict[str, Any]:
        """State, message and progress, at most WATCH_SECONDS old; as Jobs.summary."""
        if job_id not in self._recent:
            query = asyncio.create_task(self._jobs.summary(job_id))
            query.add_done_callback(_retrieve_error)
            self._recent[job_id] = query
            asyncio.get_running_loop().call_later(WATCH_SECONDS, self._recent.pop, job_id)
        # A page that is closed must not cancel the query of the others.
        return await asyncio.shield(self._recent[job_id])


def _retrieve_error(query: asyncio.Task[dict[str, Any]]) -> None:
    """Read the error. Otherwise asyncio logs it as never retrieved if all pages are closed."""
    if not query.cancelled():
        query.exception()
