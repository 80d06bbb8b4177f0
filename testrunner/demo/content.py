"""Demo data of a fresh local instance: a week of test runs, and a variable with an address to test in
environment 17.
"""

from __future__ import annotations

from django.conf import settings
from django.db import transaction

from testrunner.demo.fake import create_fake_test_runs
from testrunner.models import EnvironmentVariable, TestRun

RUNS, DAYS = 300, 7


@transaction.atomic
def create_demo_test_runs() -> None:
    """Create the runs and the variable, each only if none exist yet."""
    if not EnvironmentVariable.objects.exists():
        EnvironmentVariable.objects.create(
            environment_id=17, name="API_URL", value=f"http://127.0.0.1:{settings.PORT}/ping/"
        )
    if not TestRun.objects.exists():
        create_fake_test_runs(RUNS, DAYS)
