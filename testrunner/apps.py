from django.apps import AppConfig

from live import topics


class TestrunnerConfig(AppConfig):
    """Python tests, uploaded and run in shared environments, one run per environment at a time."""

    name = "testrunner"
    verbose_name = "test runner"

    def ready(self) -> None:
        topics.register("testruns", "testrunner.view_testrun")
        topics.register("testrun", "testrunner.view_testrun")
        topics.register("environments", "testrunner.view_testenvironment")
