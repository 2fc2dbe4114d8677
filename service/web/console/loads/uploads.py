"""Uploads of files to load. The service detects the table of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from litestar import Request, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, PathParameter

from loader.reading.detection import by_file_name, by_header
from service.core.errors import InputError
from service.core.tables import Table
from service.core.threads import in_thread
from service.web.access.basic_auth import ROLE
from service.web.api.uploads import received
from service.web.console.loads.batches import names_in
from service.web.console.loads.files import safe_name, store

MAX_FILES = 30
"""Files of one load: the progress of all of them is stored in one TEXT."""


@post("/uploads/{upload_id:str}/{number:int}", opt={ROLE: "writer"}, request_max_body_size=None)
async def upload(
    request: Request[Any, Any, Any],
    state: State,
    upload_id: FromPath[str],
    number: Annotated[int, PathParameter(ge=0, lt=MAX_FILES)],
    name: FromQuery[str],
) -> dict[str, str | None]:
    """Store a file with its number in an upload, whose id the page of the load has chosen.

    The reply has the name of the file, the path of its table if that is detected, and why.
    """
    folder = state.jobs.upload_folder(upload_id)
    async with received(request) as file:
        path = await in_thread(store, file, folder, number, safe_name(name))
    table, why = await in_thread(_detected, path)
    return {"name": path.name, "table": table.path if table else None, "why": why}


def _detected(path: Path) -> tuple[Table | None, str]:
    """The table of a file, and why it is that one. A header says more than a name."""
    named = by_file_name(path.name)
    try:
        headed = by_header(names_in(path, path.name))
    except InputError:  # the check of the file says it, with its reason
        headed = None
    if headed:
        both = "because of its name and its header"
        return headed, both if headed is named else "because of its header"
    return named, "because of its name" if named else ""
