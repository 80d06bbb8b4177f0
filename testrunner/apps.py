from typing import Any

from django.apps import AppConfig
from django.apps.registry import Apps
from django.apps.registry import apps as current_apps
from django.db.models.signals import post_migrate

from core.registry import App, Button, FrontPageCard, Page, ScheduledTask, register
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
        from core.data.retention import Work
        from testrunner.admin import front_page
        from testrunner.demo.fake import create_demo_test_runs
        from testrunner.queue.leases import renewer
        from testrunner.records import retention
        from testrunner.worker.runner import isolation

        register(
            "testrunner",
            App(
                title="Test runner",
                pages=[
                    Page("Runs", "science", "admin:testrunner_testrun_changelist", "testrunner.view_testrun"),
                    Page(
                        "Environments",
                        "grid_view",
                        "admin:testrunner_testenvironment_changelist",
                        "testrunner.view_testenvironment",
                    ),
                    Page(
                        "Test files", "folder_open", "admin:testrunner_testfile_changelist", "testrunner.view_testfile"
                    ),
                ],
                cards=[FrontPageCard("environments", 60, "card-main", front_page.environments)],
                buttons=[Button("New run", "play_arrow", "admin:testrunner_testrun_add", "testrunner.add_testrun")],
                search=[front_page.search_environments, front_page.search_runs],
                urls="testrunner.urls",
                api_tags={
                    "environments": "Environments in which tests run.",
                    "test files": "Test files that can be run.",
                    "test runs": "Runs of test files, their logs and results.",
                },
                schedule=[
                    ScheduledTask("sweep test runs", "testrunner.tasks.sweep_runs", every=3, expires=10),
                    ScheduledTask("forget old logs", "testrunner.tasks.delete_old_logs", every=3_600, expires=3_600),
                ],
                queues={"testrunner.tasks.run_tests": "testruns"},
                worker_problem=lambda: "no test run comes to its end" if renewer.is_stuck() else None,
                health={"isolation": isolation},
                retention=[Work("test runs", "TESTRUN_DAYS", retention.count_old_runs, retention.delete_old_runs)],
                create_demo=create_demo_test_runs,
            ),
        )
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
