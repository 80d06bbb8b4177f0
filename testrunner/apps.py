from typing import Any

from django.apps import AppConfig
from django.apps.registry import Apps
from django.apps.registry import apps as current_apps
from django.db.models.signals import post_migrate

from live import topics


class TestrunnerConfig(AppConfig):
    """Django app of the test runner: uploaded Python tests run in shared environments, one run per environment at a
    time.
    """

    name = "testrunner"
    verbose_name = "test runner"

    def ready(self) -> None:
        topics.register("testruns", "testrunner.view_testrun")
        topics.register("testrun", "testrunner.view_testrun")
        topics.register("environments", "testrunner.view_testenvironment")
        post_migrate.connect(_create_environments, self, dispatch_uid="test environments")


def _create_environments(*, apps: Apps = current_apps, using: str = "default", **_: Any) -> None:
    """Recreate the 100 environments after a flush has removed them; initially a migration creates them."""
    try:
        environments = apps.get_model("testrunner", "TestEnvironment").objects.using(using)
    except LookupError:  # migrations were reverted to before this table existed
        return
    if not environments.exists():
        environments.bulk_create(
            environments.model(id=number, name=f"Environment {number}") for number in range(1, 101)
        )
