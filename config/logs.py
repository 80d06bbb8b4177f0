"""Structured logs: one event per line, with the request's id, which is passed on to workers."""

import logging
import re
import sys
import traceback
from typing import Any

import structlog

from core.registry import periodic_tasks

# Celery's own lines about each task: those of django_structlog contain the same, with the request's id.
_CELERY = ["celery.app.trace", "celery.beat", "celery.worker.strategy"]
_TASK_EVENTS = {"task_enqueued", "task_started", "task_succeeded"}
_PROBE = re.compile(r"(?:GET|HEAD) /(?:ping|ready|health|metrics)/?(?:\?.*)?")
MARK = "_is_logged"  # attribute of a request
_CALENDAR = re.compile(r"/calendar/[^/\s]+\.ics")
_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.StackInfoRenderer(),
]


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Return False for lines about /health/: its clients read the response, so a 503 need not be logged as an error."""
    return "/health/" not in record.getMessage()


def _is_not_routine(record: logging.LogRecord) -> bool:
    """Return False for the routine of an idle service: periodic tasks that succeed, and probes.

    Failures, retries and tasks that a user caused are logged. LOG_LEVEL=DEBUG logs everything.
    """
    event = record.msg
    if record.levelno > logging.INFO or not isinstance(event, dict):
        return True
    if event.get("event") in _TASK_EVENTS:
        return (event.get("child_task_name") or event.get("task")) not in periodic_tasks()
    return not _PROBE.fullmatch(str(event.get("request", "")))


def _is_new(record: logging.LogRecord) -> bool:
    """Return False for Django's line about a response for which django_structlog logs one with the request's id."""
    request = getattr(record, "request", None)
    return not (record.name == "django.request" and hasattr(record, "status_code") and hasattr(request, MARK))


def mark(request: Any, **_: Any) -> None:
    """Record that django_structlog logs the end of this request: a receiver of bind_extra_request_metadata."""
    setattr(request, MARK, True)


def _readable(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Format an exception object: django_structlog passes one for a task that was killed at its time limit."""
    if isinstance(event.get("exception"), BaseException):
        event["exception"] = "".join(traceback.format_exception(event["exception"])).rstrip()
    return event


def _without_secrets(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Remove the secret part of calendar URLs, because it gives access to the calendar."""
    return {
        name: _CALENDAR.sub("/calendar/….ics", value) if isinstance(value, str) and "/calendar/" in value else value
        for name, value in event.items()
    }


def logging_config(*, human: bool, level: str) -> dict[str, Any]:
    """Return Django's LOGGING: short lines for people or JSON for a log collector, all to stderr.

    A collector also gets lines for the start and the end of every request and of every task that is not periodic.
    """
    # For people, `make run` prints the time beside the line.
    before = _PROCESSORS if human else [structlog.processors.TimeStamper(fmt="iso", utc=True), *_PROCESSORS]
    renderer: list[Any] = (
        # The default formatter prints every local variable of every frame: seconds to minutes for a template's error.
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
                    _readable,
                    _without_secrets,
                    *renderer,
                ],
            }
        },
        "filters": {
            "alarms": {"()": lambda: _is_worth_a_line},
            "once": {"()": lambda: _is_new},
            "routine": {"()": lambda: _is_not_routine},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "structured",
                "filters": ["alarms", "once"] if level == "DEBUG" else ["alarms", "once", "routine"],
            },
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django.server": {"handlers": [], "propagate": True},
            **{name: {"level": "DEBUG" if level == "DEBUG" else "WARNING"} for name in _CELERY},
            "django_structlog": {"level": "WARNING" if human else level},
            "axes": {"level": "WARNING"},
            "PIL": {"level": "WARNING"},
        },
    }
