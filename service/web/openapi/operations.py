"""The OpenAPI document of each operation: its body, its replies and its problems.

Handlers read and return bytes, so the framework cannot derive these. Each handler names its
`operation_class` from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from litestar.openapi.spec import (
    Example,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat
from msgspec import Struct, to_builtins

from service.core.backups.backup_store import Saved
from service.core.backups.restored import Restored
from service.core.backups.verify import Verification
from service.core.rules import formats
from service.core.rules.batch import MAX_ROWS
from service.core.tables import TABLES, Table
from service.web.openapi.schemas import (
    COMPONENT,
    BatchVerdict,
    Health,
    Listing,
    Rejected,
    RestoredAll,
    as_csv,
    as_ndjson,
    broken_sample,
    reject,
    sample,
    verdict,
)
from service.web.problems import Problem, phrase

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
ANYWHERE = (400,)
"""Problems of any request: its query can have an unknown parameter."""
ALWAYS = (*ANYWHERE, 401, 403, 429, 500, 503)
"""Problems of each request that needs credentials and the database."""


@dataclass(frozen=True)
class ReplySpec:
    """A reply: its description, the struct of its body (None: bytes), examples and headers."""

    text: str
    shape: type[Struct] | None = None
    examples: Mapping[str, Any] = field(default_factory=dict)
    media_types: tuple[str, ...] = (JSON,)
    headers: Mapping[str, OpenAPIHeader] = field(default_factory=dict)

    def content(self) -> dict[str, OpenAPIMediaType]:
        """The body in the document."""
        schema = reference(self.shape) if self.shape else bytes_or_text(self.media_types[0])
        media_type = OpenAPIMediaType(schema, examples=named(self.examples))
        return dict.fromkeys(self.media_types, media_type)


@dataclass
class DocumentedOperation(Operation):
    """An operation with the body, replies and problems of its class."""

    body: ClassVar[RequestBody | None] = None
    replies: ClassVar[Mapping[int, ReplySpec]] = {}
    fails: ClassVar[tuple[int, ...]] = ()
    headers: ClassVar[tuple[Parameter, ...]] = ()
    """Headers and query parameters that the handler reads itself."""
    public: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.request_body = self.body
        # Without replies here, the document keeps those that Litestar derives from the return type.
        self.responses = {} if self.replies else {**(self.responses or {})}
        for status, reply in self.replies.items():
            self.responses[str(status)] = OpenAPIResponse(
                reply.text, headers={**reply.headers} or None, content=reply.content()
            )
        for status in self.fails:
            self.responses[str(status)] = self._failure(status)
        if self.public:
            self.security = []
        self.parameters = [*(self.parameters or ()), *self.headers]
        for parameter in self.parameters:
            _list_tables(parameter)

    def _failure(self, status: int) -> OpenAPIResponse | Reference:
        if status not in self.replies:
            return Reference(f"#/components/responses/{problem_name(status)}")
        reply = self.replies[status]
        return OpenAPIResponse(reply.text, content={**reply.content(), **problem_content()})


def documented(
    replies: Mapping[int, ReplySpec],
    *statuses: int,
    body: RequestBody | None = None,
    headers: tuple[Parameter, ...] = (),
    public: bool = False,
) -> type[DocumentedOperation]:
    """The `operation_class` of a handler: replies, problems by status, body and headers."""
    fails = tuple(sorted({*statuses, *(ANYWHERE if public else ALWAYS)}))
    facts = {"replies": replies, "fails": fails, "body": body, "headers": headers, "public": public}
    return type("Documented", (DocumentedOperation,), facts)


def reads_backup(reply: ReplySpec, *statuses: int) -> type[DocumentedOperation]:
    """A handler that reads a backup: an upload, or a file on the server."""
    return documented({200: reply}, 404, 413, 422, 507, *statuses, body=_file())


def inserts(table: Table) -> type[DocumentedOperation]:
    """`POST /{table}`."""
    good, bad = sample(table), broken_sample(table)
    replies = {
        200: ReplySpec("With dry_run: the result. Nothing was written.", BatchVerdict),
        201: ReplySpec("All rows were inserted.", BatchVerdict, {"a row": verdict(table, [good])}),
        207: ReplySpec(
            "Some rows were inserted.", BatchVerdict, {"one of two": verdict(table, [good, bad])}
        ),
        422: ReplySpec(
            "No row was inserted. A result if rows break rules; a problem if the batch has 0 or "
            f"more than {MAX_ROWS} rows, or if another request used the Idempotency-Key.",
            BatchVerdict,
            {"a row": verdict(table, [bad])},
        ),
    }
    body = _rows(table, good, bad)
    return documented(replies, 409, 413, 415, 422, body=body, headers=(KEY, PREFER, ENCODING))


def reference(shape: type) -> Reference:
    """A reference to the schema of a struct."""
    return Reference(COMPONENT.format(name=shape.__name__))


def binary() -> Schema:
    """Bytes."""
    # Generators of clients need the format. OpenAPI 3.1 has the media type instead.
    return Schema(
        type=OpenAPIType.STRING,
        format=OpenAPIFormat.BINARY,
        content_media_type="application/octet-stream",
    )


def bytes_or_text(media_type: str) -> Schema:
    """A body without a structure."""
    return Schema(type=OpenAPIType.STRING) if media_type.startswith("text/") else binary()


def named(examples: Mapping[str, Any]) -> dict[str, Example | Reference] | None:
    """Examples in the form of the document; structs as JSON."""
    return {
        name: Example(summary=name, value=to_builtins(value)) for name, value in examples.items()
    } or None


def json_body(
    schema: Schema | Reference,
    examples: Mapping[str, Any],
    text: str | None = None,
    media_types: tuple[str, ...] = (JSON,),
) -> RequestBody:
    """A body in JSON."""
    media_type = OpenAPIMediaType(schema, examples=named(examples))
    return RequestBody(dict.fromkeys(media_types, media_type), text, required=True)


def problem_name(status: int) -> str:
    """The name of a problem's response: 404 is NotFound."""
    return phrase(status).title().replace(" ", "")


def problem_content() -> dict[str, OpenAPIMediaType]:
    """The body of a problem."""
    return {PROBLEM_JSON: OpenAPIMediaType(reference(Problem))}


def _rows(table: Table, good: dict[str, Any], bad: dict[str, Any]) -> RequestBody:
    row = reference(table.row)
    rows = Schema(type=OpenAPIType.ARRAY, items=row, min_items=1, max_items=MAX_ROWS)
    one_or_more = Schema(one_of=[rows, row])
    examples = named({"a row": good, "a batch": [good, good], "one of two is bad": [good, bad]})
    content = {
        **dict.fromkeys(formats.FORMATS, OpenAPIMediaType(one_or_more)),
        JSON: OpenAPIMediaType(one_or_more, examples=examples),
        "application/x-ndjson": text_of("one row in each line", as_ndjson(table)),
        "text/csv": text_of("a header, then a row a line", as_csv(table)),
    }
    return RequestBody(content, required=True)


def text_of(what: str, example: str) -> OpenAPIMediaType:
    """A body of text with an example."""
    return OpenAPIMediaType(Schema(type=OpenAPIType.STRING), examples=named({what: example}))


def header(name: str, text: str, *values: str) -> Parameter:
    """A header of a request, and the values that it can have."""
    schema = Schema(type=OpenAPIType.STRING, enum=list(values) or None)
    return Parameter(name, "header", schema, description=text)


def _file() -> RequestBody:
    form = Schema(type=OpenAPIType.OBJECT, properties={"file": binary()}, required=["file"])
    content = {
        "application/avro": OpenAPIMediaType(binary()),
        "multipart/form-data": OpenAPIMediaType(form),
    }
    return RequestBody(content, "A backup. Empty if `backup` names one on the server.")


def _list_tables(parameter: Parameter | Reference) -> None:
    """List the tables for a parameter that names one."""
    if isinstance(parameter, Parameter) and parameter.name == "table":
        default = getattr(parameter.schema, "default", None)
        every = ["all"] if parameter.param_in == "path" or default == "all" else []
        names = [*(table.path for table in TABLES), *every]
        parameter.schema = Schema(type=OpenAPIType.STRING, enum=names, default=default)


KEY = header(
    "Idempotency-Key",
    "1 to 255 characters, a new key for each batch. A repeated request with the same key "
    "gets the first reply again.",
)
PREFER = header("Prefer", "`return=minimal` leaves out `ids`.", "return=minimal")
ENCODING = header("Content-Encoding", "The compression of the body.", "gzip", "identity")
LIMITS = documented({})
METRICS = documented({200: ReplySpec("The metrics.", media_types=("text/plain",))})
REJECT = documented(
    {200: ReplySpec("The whole record and all errors.", Rejected, {"a row": reject(TABLES[0])})},
    404,
)
LIVE = documented(
    {200: ReplySpec("The process responds.", Health, {"alive": {"status": "alive"}})},
    public=True,
)
READY = documented(
    {200: ReplySpec("The database responds.", Health, {"ready": {"status": "ready"}})},
    503,
    public=True,
)
BACKUP = documented(
    {200: ReplySpec("The file.", media_types=("application/avro", "application/zip"))}, 404
)
SAVE = documented(
    {201: ReplySpec("The name of the backup and its manifest.", Saved)}, 404, 422, 507
)
BACKUPS = documented({200: ReplySpec("All backups.", Listing)}, 507)
RESTORE = reads_backup(ReplySpec("The result for each table.", Restored), 409)
RESTORE_ALL = reads_backup(ReplySpec("The result for each table.", RestoredAll), 409)
VERIFY = reads_backup(ReplySpec("The backup is complete and unchanged.", Verification))
