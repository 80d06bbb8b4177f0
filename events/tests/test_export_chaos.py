"""An export whose connection to Postgres is ended half way: its reader notices, over real HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]
EVENTS = 60_000  # far more than sockets hold
TOKEN = "0" * 40
ADA = (
    "from django.contrib.auth.models import User; from accounts.tokens import issue_token; "
    f"issue_token(key='{TOKEN}', user=User.objects.create_superuser('ada'))"
)
END_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.shell(ADA)
        instance.manage("create_fake_events", "--total", str(EVENTS), "--days", "10", "-v0")
        instance.start_web()
        yield instance


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_an_export_that_fails_half_way_is_a_broken_stream(instance: Instance, form: str):
    def export() -> requests.Response:
        headers = {"Authorization": f"Token {TOKEN}"}
        return requests.get(f"{instance.url}/events/export/?format={form}", headers=headers, stream=True, timeout=60)

    whole = export().content.count(b"\n")
    assert whole >= EVENTS

    with export() as answer:
        assert answer.status_code == 200
        parts = answer.iter_content(1024)
        for _ in range(2_000):  # beyond the first page: the others are read on a connection of their own
            next(parts)
        instance.sql(END_SESSIONS)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(parts)
