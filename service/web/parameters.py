"""What handlers are given: the database, and the parameters that several routes share."""

from __future__ import annotations

from typing import Annotated

from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from service.core.batch import MAX_ROWS
from service.core.database import Database

PAGE = 100
MAX_AFTER = 2**63 - 1

TheDatabase = NamedDependency[Database]
TableName = FromPath[str]
RowId = FromPath[int]
After = Annotated[int, QueryParameter(ge=0, le=MAX_AFTER, description="rows with a larger id")]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_ROWS, description="so many rows at most")]
DryRun = Annotated[bool, QueryParameter(name="dry_run", description="tell, change nothing")]
