"""Configures structlog and the standard library: the same format for our logs and uvicorn's."""

from __future__ import annotations

import logging
import logging.config
import sys
from contextlib import suppress
from typing import Any, Literal, cast

import structlog

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_NUMBERS = logging.getLevelNamesMapping()


def configure(level: str, form: Literal["console", "json"]) -> None:
    """Send every log to standard error, as text or as JSON; each line is written at once."""
    structlog.configure(
        # The lines of structlog skip the standard library, which takes longer than all the rest.
        processors=[*SHARED, *_final(form), _encoded],
        logger_factory=structlog.BytesLoggerFactory(cast("Any", _Tolerant(sys.stderr.buffer))),
        # Without it, each line below the level is put together before it is dropped.
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level.upper()]),
        cache_logger_on_first_use=True,
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "one": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": SHARED,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *_final(form),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "one"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
        }
    )


def _final(form: Literal["console", "json"]) -> list[Any]:
    # Tracebacks without the values of variables, which can be passwords or personal data.
    if form == "json":
        stacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        exceptions = structlog.processors.ExceptionRenderer(stacks)
        return [exceptions, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]


class _Tolerant:
    """A file for logs. A full disk or a closed pipe fails no request, as in `logging`."""

    def __init__(self, file: Any):
        self._file = file

    def write(self, line: bytes) -> None:
        with suppress(OSError):
            self._file.write(line)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()


def _encoded(_logger: Any, _method: str, line: Any) -> bytes:
    text: str = line
    return text.encode(errors="backslashreplace")
