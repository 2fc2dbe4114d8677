"""Backup jobs of the console show their progress."""

from __future__ import annotations

from service.core.progress import Step
from service.web.console.backup_jobs import _on
from service.web.console.jobs import Job


def test_a_job_shows_its_step_with_rows_rate_share_and_time_left() -> None:
    job = Job(kind="verify", title="", user="", role="operator", options={})
    progress = _on(job)
    progress(Step("verify jobs", 0, 4000))
    assert (job.message, job.share) == ("verify jobs", 0)
    progress(Step("verify jobs", 1000, 4000))
    assert job.message.startswith("verify jobs: 1,000 rows, ")
    assert job.message.endswith(" rows/s, 25 %, 0 s left")
    assert job.share == 25
    progress(Step("index jobs"))
    assert (job.message, job.share) == ("index jobs", 0)
