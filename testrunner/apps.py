from django.apps import AppConfig


class TestrunnerConfig(AppConfig):
    """Python tests, uploaded and run in shared environments, one run per environment at a time."""

    name = "testrunner"
    verbose_name = "test runner"
