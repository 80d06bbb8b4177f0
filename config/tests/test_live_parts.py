"""Live parts of pages are reloaded once more after the last message."""

import re
from pathlib import Path

from config.tests.instance import PROJECT

TRIGGER = re.compile(r'hx-trigger="([^"]*\bthrottle:[^"]*)"')


def throttled() -> dict[Path, list[str]]:
    templates = [path for app in ("chats", "config", "events", "projects", "testrunner")
                 for path in (PROJECT / app / "templates").rglob("*.html")]  # fmt: skip
    found = {path: TRIGGER.findall(path.read_text()) for path in templates}
    return {path: triggers for path, triggers in found.items() if triggers}


def test_a_throttled_part_is_loaded_once_more_after_the_last_message():
    """htmx drops messages within the throttle's time, so only an additional delayed trigger sees the last one."""
    assert len(throttled()) > 5
    for path, triggers in throttled().items():
        for trigger in triggers:
            seconds = float(re.search(r"live throttle:([\d.]+)s", trigger)[1])
            delayed = re.search(r"live delay:(\d+)ms", trigger)
            assert delayed, (path, trigger)
            assert int(delayed[1]) > seconds * 1000, (path, trigger)
