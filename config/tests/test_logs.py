"""What must not be read in the log."""

import logging

import pytest
from structlog.stdlib import ProcessorFormatter

from config.logs import logging_config


@pytest.fixture
def formatter() -> ProcessorFormatter:
    settings = dict(logging_config(human=False, level="INFO")["formatters"]["structured"])
    settings.pop("()")
    return ProcessorFormatter(**settings)


@pytest.mark.parametrize(
    "message",
    [
        ("Not Found: %s", "/calendar/s3cret-k3y.ics"),
        ({"event": "request_finished", "request": "GET /calendar/s3cret-k3y.ics?mine=1"},),
    ],
)
def test_a_calendars_address_is_a_key_and_is_not_written_down(formatter, message):
    text, *arguments = message
    record = logging.LogRecord("django.request", logging.WARNING, __file__, 1, text, tuple(arguments), None)
    if isinstance(text, dict):
        record._logger, record._name = None, "info"

    written = formatter.format(record)

    assert "/calendar/" in written
    assert "s3cret" not in written
