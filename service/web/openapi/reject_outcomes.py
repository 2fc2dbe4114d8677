"""The OpenAPI document of the routes that close rejects."""

from __future__ import annotations

from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, RequestBody, Schema
from msgspec import to_builtins

from service.core.tables import TABLES
from service.core.writes.corrections.rule import LONGEST, MATCHED, Corrected, Rule
from service.core.writes.reject_outcomes import LONGEST_REASON, OpenRejects, Outcome, Summary
from service.web.openapi.operations import BATCH_HEADERS, Reply, documented, named, reference
from service.web.openapi.schemas import sample

KEY, _, ENCODING = BATCH_HEADERS
FIRST = TABLES[0]
RECORDS = Schema(one_of=[reference(table.row) for table in TABLES])
ONE = Summary(1, [OpenRejects(FIRST.name, "api", "2021-07-27", "blank", 1)])
SUMMARY = documented(
    {
        200: Reply(
            "How many open rejects have each code.",
            Summary,
            {"one": to_builtins(ONE)},
        )
    }
)
CORRECTION = documented(
    {
        201: Reply(
            "The row was inserted, and the reject is closed.",
            Outcome,
            {"a row": to_builtins(Outcome(1, "corrected", "ada", table=FIRST.name, id=1))},
        )
    },
    *(404, 409, 413, 415, 422),
    body=RequestBody(
        {"application/json": OpenAPIMediaType(RECORDS, examples=named({"a row": sample(FIRST)}))},
        "The corrected record. It may have an `id` if the reject came from a file.",
        required=True,
    ),
    headers=(KEY, ENCODING),
)
RULE = Rule(
    table=TABLES[-1].path,
    source="loader",
    origin=f"{TABLES[-1].name}.csv",
    field=TABLES[-1].fields[-1].name,
    code="type",
    from_="two",
    to=2,
)
CORRECTIONS = documented(
    {
        200: Reply(
            "How many rejects match, and what became of them. With dry_run, what would.",
            Corrected,
            {"all corrected": to_builtins(Corrected(17, 17, 0, [], None))},
        )
    },
    *(404, 409, 413, 415, 422),
    body=RequestBody(
        {
            "application/json": OpenAPIMediaType(
                reference(Rule), examples=named({"a rule": to_builtins(RULE)})
            )
        },
        f"The rule. One request corrects at most {MATCHED} rejects; `next` is the `after` of the "
        "request that continues.",
        required=True,
    ),
    headers=(KEY, ENCODING),
)
FILE = documented(
    {
        200: Reply(
            "The file: line, errors, the name of the reject, and the fields. It has the rejects of "
            f"files with ids whose records have at most {LONGEST} characters.",
            media_types=("text/csv",),
        )
    },
    404,
)
DISMISSAL = documented(
    {
        200: Reply(
            "The reject is closed.",
            Outcome,
            {"closed": to_builtins(Outcome(1, "dismissed", "ada", "A test of the form."))},
        )
    },
    *(404, 409, 413, 415, 422),
    body=RequestBody(
        {
            "application/json": OpenAPIMediaType(
                Schema(
                    type=OpenAPIType.OBJECT,
                    properties={
                        "reason": Schema(type=OpenAPIType.STRING, max_length=LONGEST_REASON)
                    },
                    required=["reason"],
                ),
                examples=named({"a reason": {"reason": "A test of the form."}}),
            )
        },
        required=True,
    ),
    headers=(KEY, ENCODING),
)
