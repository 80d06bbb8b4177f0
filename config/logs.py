"""Structured logs: one event a line, with the request's id, which follows into the worker."""

import logging
import re
import sys
from typing import Any

import structlog

_ROUTINE = ["django_structlog", "celery.app.trace", "celery.beat", "celery.worker.strategy"]
_CALENDAR = re.compile(r"/calendar/[^/\s]+\.ics")
_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.StackInfoRenderer(),
]


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Whoever asks /health/ every second reads the answer; each "not yet" need not be an error in the log, too."""
    return "/health/" not in record.getMessage()


def _without_secrets(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A calendar's address is a key: whoever reads the log must not be able to open it."""
    return {
        name: _CALENDAR.sub("/calendar/….ics", value) if isinstance(value, str) and "/calendar/" in value else value
        for name, value in event.items()
    }


def logging_config(*, human: bool, level: str) -> dict[str, Any]:
    """Return Django's LOGGING: short lines for a person, JSON for a collector; everything to stderr.

    A collector also gets a line for the start and the end of every request and task; a person would look in vain
    for anything else among the ticks of the sweepers.
    """
    # A person sees the time beside the line, where make run puts it.
    before = _PROCESSORS if human else [structlog.processors.TimeStamper(fmt="iso", utc=True), *_PROCESSORS]
    renderer: list[Any] = (
        # The usual formatter draws every local variable of every frame: seconds to minutes for a template's error.
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if human
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*before, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": before,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    _without_secrets,
                    *renderer,
                ],
            }
        },
        "filters": {"alarms": {"()": lambda: _is_worth_a_line}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "structured", "filters": ["alarms"]},
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.server": {"handlers": [], "propagate": True},
            **{name: {"level": "WARNING" if human else level} for name in _ROUTINE},
            "axes": {"level": "WARNING"},
            "PIL": {"level": "WARNING"},
        },
    }
