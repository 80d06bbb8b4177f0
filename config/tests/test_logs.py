"""What the log contains, and what it must not contain."""

import logging
from collections.abc import Iterator
from logging.config import DictConfigurator

import pytest
from billiard.exceptions import TimeLimitExceeded
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


TICK = "projects.tasks.send_reminders"
PRESS = "chats.tasks.prepare_broadcast"


def filters_at(level: str) -> logging.Filterer:
    """Return the filters of the handler for standard error."""
    wanted = logging_config(human=False, level=level)
    configurator = DictConfigurator(wanted)
    filterer = logging.Filterer()
    for name in wanted["handlers"]["stderr"]["filters"]:
        filterer.addFilter(configurator.configure_filter(wanted["filters"][name]))
    return filterer


def is_written(level: str, severity: int, **event: str) -> bool:
    record = logging.LogRecord("django_structlog", severity, __file__, 1, event, (), None)
    return bool(filters_at(level).filter(record))


@pytest.mark.parametrize("event", ["task_enqueued", "task_started", "task_succeeded"])
def test_a_periodic_task_that_succeeds_is_not_logged_and_any_other_task_is(event: str):
    name = "child_task_name" if event == "task_enqueued" else "task"

    assert is_written("INFO", logging.INFO, event=event, **{name: PRESS})
    assert not is_written("INFO", logging.INFO, event=event, **{name: TICK})
    assert is_written("DEBUG", logging.INFO, event=event, **{name: TICK})


def test_what_a_periodic_task_did_and_its_failure_are_logged():
    assert is_written("INFO", logging.INFO, event="broadcast_sent", task=TICK)
    assert is_written("INFO", logging.ERROR, event="task_failed", task=TICK)
    assert is_written("INFO", logging.WARNING, event="wake_failed", task=TICK)


@pytest.mark.parametrize("probe", ["GET /ping/", "HEAD /ping/", "GET /metrics", "GET /ready/"])
def test_a_probe_that_is_answered_well_is_not_logged(probe: str):
    assert is_written("INFO", logging.INFO, event="request_finished", request="GET /chats/")
    assert not is_written("INFO", logging.INFO, event="request_finished", request=probe)
    assert is_written("INFO", logging.WARNING, event="request_finished", request=probe)


@pytest.mark.parametrize("human", [True, False])
def test_a_task_that_was_killed_at_its_time_limit_is_logged_with_its_exception(human: bool):
    settings = dict(logging_config(human=human, level="INFO")["formatters"]["structured"])
    settings.pop("()")
    record = logging.LogRecord("django_structlog", logging.ERROR, __file__, 1, "", (), None)
    record.msg = {"event": "task_failed", "error": "x", "exception": TimeLimitExceeded(10)}
    record._logger, record._name = None, "error"

    written = ProcessorFormatter(**settings).format(record)

    assert "TimeLimitExceeded: TimeLimitExceeded(10,)" in written


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []
        for each in filters_at("INFO").filters:
            self.addFilter(each)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing-here/", 404), ("/chats/", 401), ("/broadcasts/999/", 401)],
)
def test_each_answer_is_logged_once(client, lines: Lines, path: str, status: int):
    assert client.get(path).status_code == status

    ends = [
        record for record in lines.records if record.name in ("django.request", "django_structlog.middlewares.request")
    ]
    ends = [record for record in ends if "request_started" not in str(record.msg)]
    assert len(ends) == 1, [str(record.msg) for record in ends]


@pytest.mark.django_db
def test_an_answer_that_only_django_knows_of_is_logged_by_django(client, lines: Lines):
    assert client.get("/chats/", headers={"Host": "elsewhere.example"}).status_code == 400

    assert [record.name for record in lines.records if record.levelno >= logging.WARNING] == [
        "django.security.DisallowedHost"
    ]
