"""Odd texts in every path, query, header and file name of every route never cause a 500."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from urllib.parse import quote_from_bytes

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.web.console.loads.files import safe_name
from tests.integration.api.test_problems import INTERNAL
from tests.support.console import UPLOAD, events, preview
from tests.support.routes import ENDPOINTS, Endpoint

TEXTS = {
    "nothing": b"",
    "a space": b" ",
    "NUL": b"\0",
    "NUL within": b"a\0b.csv",
    "line ends": b"a\r\nX-Injected: 1\r\n\r\n",
    **{f"300 of {len(one.encode())} bytes": one.encode() * 300 for one in "xé漢😀"},
    "256 of three bytes, and a suffix": "漢".encode() * 256 + b".csv",
    "a long suffix": b"x." + b"y" * 300,
    "a dot": b".",
    "dots": b"..",
    "dots up": b"../../../../etc/passwd",
    "dots up, backwards": b"..\\..\\boot.ini",
    "absolute": b"//etc/passwd",
    "encoded": b"%2e%2e%2fetc%2fpasswd",
    "encoded twice": b"%252e%252e%252fetc",
    "an encoded NUL": b"%00",
    "half an encoding": b"%",
    "no encoding": b"%zz%u0041",
    "no UTF-8": b"\xff\xfe",
    "UTF-8 for too long": b"\xc0\xaf",
    "UTF-8 cut short": b"\xf0\x9f\x98",
    "a surrogate": b"\xed\xa0\x80",
    "UTF-16": "departments".encode("utf-16"),
    "UTF-7": b"+AC4ALgAv-",
    "another script's digits": "١٢".encode(),
    "digits up high": "²".encode(),
    "400 digits": b"9" * 400,
    "5,000 digits": b"9" * 5000,
    "2^31": b"2147483648",
    "2^63": b"9223372036854775808",
    "2^64": b"18446744073709551616",
    "a negative": b"-1",
    "an exponent": b"1e400",
    "NaN": b"NaN",
    "a fraction": b"1.5",
    "an underscore": b"1_0",
    "SQL": b"'; DROP TABLE jobs; --",
    "a format": b"%s%n{0}{x!r}",
    "a template": b"{{ 7*7 }}<script>",
    "a bracket": b"http://[",
    "semicolons": b';;;=;"',
    "a quote that is open": b'text/csv; charset="',
    "a list": b",,q=x;q=,*/*;q=nan",
}
HEADERS = (
    *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Encoding"),
    *("Content-Type", "Content-Length", "Cookie", "Expect", "Forwarded", "Host"),
    *("Idempotency-Key", "If-Modified-Since", "If-None-Match", "Origin", "Prefer", "Range"),
    *("Referer", "Sec-Fetch-Site", "X-Forwarded-For", "X-Request-ID", "traceparent", "X-Any"),
)
BODY = b"1,Sales\n"
SHARE = 11
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == []
    assert "Traceback" not in caplog.text


def needed(endpoint: Endpoint) -> dict[str, str]:
    """The query without which a route refuses whatever else is odd."""
    return {"name": "x.csv"} if "/uploads/" in endpoint.template else {}


async def check(client: httpx.AsyncClient, method: str, url: str, **more: object) -> None:
    """A request that may be refused, by us and for a reason."""
    content = BODY if method == "POST" else b""
    # `more` has parameters of several types.
    request = client.build_request(method, url, content=content, **more)  # type: ignore[arg-type]
    reply = await client.send(request)
    assert reply.status_code < 500, (method, url[:100], more)
    assert reply.status_code < 400 or not [word for word in INTERNAL if word in reply.text]


@every_endpoint
async def test_paths(caller: httpx.AsyncClient, endpoint: Endpoint) -> None:
    params = needed(endpoint)
    for name in endpoint.placeholders:
        for text in TEXTS.values():
            for quoted in quote_from_bytes(text, safe=""), quote_from_bytes(text):
                path = endpoint.path(**{name: quoted})
                await check(caller, endpoint.method, path, params=params)


@every_endpoint
async def test_text_after_every_path(caller: httpx.AsyncClient, endpoint: Endpoint) -> None:
    for text in TEXTS.values():
        await check(
            caller, endpoint.method, f"{endpoint.path().rstrip('/')}/{quote_from_bytes(text)}"
        )


@every_endpoint
async def test_queries(caller: httpx.AsyncClient, endpoint: Endpoint) -> None:
    for name in (*endpoint.query, "x"):
        for text in TEXTS.values():
            wanted = {**needed(endpoint), name: quote_from_bytes(text)}
            query = "&".join(f"{key}={value}" for key, value in wanted.items())
            await check(caller, endpoint.method, f"{endpoint.path()}?{query}")
            await check(caller, endpoint.method, f"{endpoint.path()}?{quote_from_bytes(text)}")


@every_endpoint
async def test_headers(caller: httpx.AsyncClient, endpoint: Endpoint) -> None:
    """Each header with some of the texts; over all routes, with all of them."""
    for at, name in enumerate(sorted({*HEADERS, *endpoint.headers}), ENDPOINTS.index(endpoint)):
        for text in list(TEXTS.values())[at % SHARE :: SHARE]:
            # Asked for a page, where there is one: it says more of a request than a problem does.
            headers = {b"Accept": b"text/html", name.encode(): text}
            path, params = endpoint.path(), needed(endpoint)
            await check(caller, endpoint.method, path, params=params, headers=headers)


@pytest.mark.parametrize(
    "text", [*TEXTS.values(), b"a:b", b"a:1:2", b":1", b"a:99999", b"[::1", b"[x]"]
)
@pytest.mark.parametrize(
    "path", ["/departments?limit=x", "/departments", "/console/loads", "/nothing", "/schema"]
)
async def test_hosts(caller: httpx.AsyncClient, path: str, text: bytes) -> None:
    """Also if the framework builds a URL: for a bad parameter, or a key with its request."""
    for method in ("GET", "POST"):
        headers = {b"Host": text, b"Idempotency-Key": b"one"}
        await check(caller, method, path, headers=headers)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(
    "path", ["/avro/restore/departments", "/avro/restore/all", "/avro/verify", UPLOAD]
)
async def test_forms(caller: httpx.AsyncClient, path: str, text: bytes) -> None:
    for head in (
        b'form-data; name="file"; filename="%b"' % text,
        b"form-data; name=file; filename*=UTF-8''%b" % text,
        b'form-data; name="%b"; filename="x"' % text,
        text,
    ):
        form = b"--x\r\nContent-Disposition: %b\r\n\r\n%b\r\n--x--\r\n" % (head, BODY)
        for kind in b"multipart/form-data; boundary=x", b"multipart/form-data; boundary=%b" % text:
            reply = await caller.post(path, content=form, headers={b"Content-Type": kind})
            # Jobs of earlier requests may still hold the places for long work.
            busy = reply.status_code == 503 and "Retry-After" in reply.headers
            assert reply.status_code < 500 or busy


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
    | st.binary(max_size=400).map(lambda name: name.decode(errors="replace"))
    | st.sampled_from(".xé漢😀").flatmap(
        lambda one: st.integers(80, 400).map(lambda count: one * count + ".csv.gz")
    )
)
async def test_a_file_of_any_name_is_checked(caller: httpx.AsyncClient, name: str) -> None:
    body = gzip.compress(BODY) if safe_name(name).endswith(".gz") else BODY
    job = await preview(caller, name, body, "departments")
    ended = (await events(caller, job))[-1]
    assert ended["state"] == "ready", ended


async def test_a_long_name_keeps_its_suffix(caller: httpx.AsyncClient) -> None:
    """It shows the format, and that a file is compressed."""
    name = "漢" * 256 + ".csv"
    job = await preview(caller, name, BODY, "departments")
    assert (await events(caller, job))[-1]["state"] == "ready"
    assert ".csv" in (await caller.get(f"/console/jobs/{job}")).text
