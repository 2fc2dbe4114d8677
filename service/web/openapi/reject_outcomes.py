"""The OpenAPI document of the routes that close rejects."""

from __future__ import annotations

from litestar.openapi.spec import OpenAPIType, Schema

from service.core.tables import TABLES
from service.core.writes.corrections.outcomes import LONGEST_REASON, OpenRejects, Outcome, Summary
from service.core.writes.corrections.rule import LONGEST, MATCHED, Corrected, Rule
from service.web.openapi.operations import (
    ENCODING,
    KEY,
    ReplySpec,
    documented,
    json_body,
    reference,
)
from service.web.openapi.schemas import sample

FAILS = (404, 409, 413, 415, 422)
FIRST, LAST = TABLES[0], TABLES[-1]

SUMMARY = documented(
    {
        200: ReplySpec(
            "How many open rejects have each code.",
            Summary,
            {"one": Summary(1, [OpenRejects(FIRST.name, "api", "2021-07-27", "blank", 1)])},
        )
    }
)
CORRECTION = documented(
    {
        201: ReplySpec(
            "The row was inserted, and the reject is closed.",
            Outcome,
            {"a row": Outcome(1, "corrected", "ada", table=FIRST.name, id=1)},
        )
    },
    *FAILS,
    body=json_body(
        Schema(one_of=[reference(table.row) for table in TABLES]),
        {"a row": sample(FIRST)},
        "The corrected record. It may have an `id` if the reject came from a file.",
    ),
    headers=(KEY, ENCODING),
)
RULE = Rule(
    table=LAST.path,
    source="loader",
    origin=f"{LAST.name}.csv",
    field=LAST.fields[-1].name,
    code="type",
    from_="two",
    to=2,
)
CORRECTIONS = documented(
    {
        200: ReplySpec(
            "How many rejects match, and what became of them. With dry_run, what would.",
            Corrected,
            {"all corrected": Corrected(17, 17, 0, [], None)},
        )
    },
    *FAILS,
    body=json_body(
        reference(Rule),
        {"a rule": RULE},
        f"The rule. One request corrects at most {MATCHED} rejects; `next` is the `after` of the "
        "request that continues.",
    ),
    headers=(KEY, ENCODING),
)
FILE = documented(
    {
        200: ReplySpec(
            "The file: line, errors, the name of the reject, and the fields. It has the rejects of "
            f"files with ids whose records have at most {LONGEST} characters.",
            media_types=("text/csv",),
        )
    },
    404,
)
REASON = "A test of the form."
DISMISSAL = documented(
    {
        200: ReplySpec(
            "The reject is closed.",
            Outcome,
            {"closed": Outcome(1, "dismissed", "ada", REASON)},
        )
    },
    *FAILS,
    body=json_body(
        Schema(
            type=OpenAPIType.OBJECT,
            properties={"reason": Schema(type=OpenAPIType.STRING, max_length=LONGEST_REASON)},
            required=["reason"],
        ),
        {"a reason": {"reason": REASON}},
    ),
    headers=(KEY, ENCODING),
)
