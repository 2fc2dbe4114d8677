"""Configures structlog and the standard library: the same format for our logs and uvicorn's."""

from __future__ import annotations

import logging
import logging.config
from typing import Any, Literal

import structlog

SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_NUMBERS = logging.getLevelNamesMapping()


def configure(level: str, form: Literal["console", "json"]) -> None:
    """Send every log to standard error, as text or as JSON."""
    structlog.configure(
        processors=[*SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
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
                    "processors": _final(form),
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "one"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
        }
    )


def _final(form: Literal["console", "json"]) -> list[Any]:
    # Tracebacks without the values of variables, which can be passwords or personal data.
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if form == "json":
        stacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        exceptions = structlog.processors.ExceptionRenderer(stacks)
        return [clean, exceptions, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [clean, structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]
