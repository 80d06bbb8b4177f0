"""Structured logs: one event a line, with the request's id, which follows into the worker."""

import logging
import re
import sys
import traceback
from typing import Any

import structlog

# Celery's own lines about each task: those of django_structlog say the same, with the request's id.
_CELERY = ["celery.app.trace", "celery.beat", "celery.worker.strategy"]
_TASK_EVENTS = {"task_enqueued", "task_started", "task_succeeded"}
_PROBE = re.compile(r"(?:GET|HEAD) /(?:ping|ready|health|metrics)/?(?:\?.*)?")
MARK = "_is_logged"  # an attribute of a request
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


def _is_not_routine(record: logging.LogRecord) -> bool:
    """False for what an idle service does all day: periodic tasks that succeed, and probes.

    A failure, a retry and a task that somebody caused are logged; so is everything with LOG_LEVEL=DEBUG.
    """
    event = record.msg
    if record.levelno > logging.INFO or not isinstance(event, dict):
        return True
    if event.get("event") in _TASK_EVENTS:
        from config.celery import PERIODIC  # the settings, which name this filter, are read by now

        return (event.get("child_task_name") or event.get("task")) not in PERIODIC
    return not _PROBE.fullmatch(str(event.get("request", "")))


def _is_new(record: logging.LogRecord) -> bool:
    """False for Django's line about an answer of which django_structlog writes one, too, with the request's id."""
    request = getattr(record, "request", None)
    return not (record.name == "django.request" and hasattr(record, "status_code") and hasattr(request, MARK))


def mark(request: Any, **_: Any) -> None:
    """Note that django_structlog logs the end of this request: a receiver of bind_extra_request_metadata."""
    setattr(request, MARK, True)


def _readable(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Write an exception out that came as an object: django_structlog's of a task that was killed at its time limit."""
    if isinstance(event.get("exception"), BaseException):
        event["exception"] = "".join(traceback.format_exception(event["exception"])).rstrip()
    return event


def _without_secrets(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """A calendar's address is a key: whoever reads the log must not be able to open it."""
    return {
        name: _CALENDAR.sub("/calendar/….ics", value) if isinstance(value, str) and "/calendar/" in value else value
        for name, value in event.items()
    }


def logging_config(*, human: bool, level: str) -> dict[str, Any]:
    """Return Django's LOGGING: short lines for a person, JSON for a collector; everything to stderr.

    A collector also gets a line for the start and the end of every request and of every task that is not periodic.
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
