"""A real web process that was idle for a long time and then gets more slow requests than it has threads."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from django.db import connection, transaction

from accounts.models import AccessToken
from config.processes.watchdog_client import PROGRESS_INTERVAL
from config.server.lifespan import STUCK_TIMEOUT
from config.tests.web_process import web_process

REQUESTS = 12  # config/asgi.py has ten threads
pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


def test_a_web_process_that_was_idle_survives_as_many_slow_requests_as_it_has_threads(tmp_path):
    with web_process(tmp_path) as web:
        assert requests.get(f"{web.url}/admin/login/", timeout=30).ok
        time.sleep(STUCK_TIMEOUT + PROGRESS_INTERVAL)

        def ask() -> int:
            return requests.get(f"{web.url}/tasks/", headers={"Authorization": "Token unknown"}, timeout=60).status_code

        with ThreadPoolExecutor(REQUESTS) as clients, transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {AccessToken._meta.db_table} IN ACCESS EXCLUSIVE MODE")
            answers = [clients.submit(ask) for _ in range(REQUESTS)]
            time.sleep(2 * PROGRESS_INTERVAL)  # until the pool was checked
        assert {answer.result() for answer in answers} == {401}
