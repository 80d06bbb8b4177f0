"""The runner's own database role, with a real runner: it can execute a run, and read nothing else."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from config.database.runner_role import ROLE
from config.tests.instance import Instance, running_instance

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
START = """
from django.contrib.auth.models import User
from testrunner.files import discovery; from testrunner import services
from testrunner.models import TestEnvironment, TestFile
discovery.refresh()
chosen = TestFile.objects.filter(path__contains='test_success')
services.start_run(user=User.objects.create_superuser('ada'), environment=TestEnvironment.objects.get(pk=17),
                   files=discovery.snapshots(chosen))
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    with running_instance(tmp_path / "home") as instance:
        instance.sql(f"CREATE ROLE {ROLE} LOGIN")
        instance.manage("migrate", "-v0")
        yield instance


def test_the_runner_works_with_a_role_that_cannot_read_users_chats_or_events(instance: Instance):
    everybody = instance.env["DATABASE_URL"]
    instance.env["DATABASE_URL"] = everybody.replace("opsroom@", f"{ROLE}@")
    instance.start_runner()
    instance.env["DATABASE_URL"] = everybody
    instance.start_worker()
    instance.start_beat()  # for the sweepers, which wake the runner as long as a run waits
    instance.shell(START)

    instance.wait_for(lambda: instance.one("SELECT status FROM testrunner_testrun") not in ("queued", "running"), 90)

    assert instance.sql("SELECT status, reason FROM testrunner_testrun") == [("success", "")]
    assert "permission denied" not in Path(instance.log.name).read_text()
    with closing(psycopg2.connect(instance.dsn.replace("user=opsroom", f"user={ROLE}"))) as session:
        session.autocommit = True
        for table in ("auth_user", "chats_message", "events_event", "django_session", "authtoken_token"):
            with session.cursor() as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(f"SELECT * FROM {table}")
