"""Factories for rows in tests and demos, with neutral defaults; a test sets what matters to it.

The hundred environments exist already. `RunFactory` only writes a row. To queue a run as a user does, use
`services.start_run`.
"""

from datetime import timedelta

import factory
from django.utils import timezone

from testrunner.models import Root, TestFile, TestResult, TestRun


class FileFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TestFile

    root = Root.SAMPLES
    path = factory.Sequence("test_{}.py".format)
    sha256 = "0" * 64
    size = 1


class RunFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TestRun

    environment_id = 17
    requested_by = "tess"
    wall_seconds = 60
    files_key = "0" * 64

    class Params:
        running = factory.Trait(
            status=TestRun.Status.RUNNING,
            queued_at=factory.LazyFunction(lambda: timezone.now() - timedelta(seconds=2)),
            started_at=factory.LazyFunction(lambda: timezone.now() - timedelta(seconds=1)),
            worker="tests@here",
            lease_token=1,
            lease_until=factory.LazyFunction(lambda: timezone.now() + timedelta(seconds=30)),
        )
        ended = factory.Trait(
            queued_at=factory.LazyFunction(lambda: timezone.now() - timedelta(seconds=9)),
            started_at=factory.LazyFunction(lambda: timezone.now() - timedelta(seconds=8)),
            finished_at=factory.LazyFunction(lambda: timezone.now() - timedelta(seconds=5)),
            worker="tests@here",
            lease_token=1,
        )
        success = factory.Trait(ended=True, status=TestRun.Status.SUCCESS, exit_code=0, tests=1, passed=1)
        failure = factory.Trait(ended=True, status=TestRun.Status.FAILED, exit_code=1, tests=1, failed=1)


class ResultFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TestResult

    run = factory.SubFactory(RunFactory, success=True)
    environment_id = factory.SelfAttribute("run.environment_id")
    path = "test_one.py"
    name = factory.Sequence("test_{}".format)
    nodeid = factory.LazyAttribute(lambda result: f"{result.path}::{result.name}")
    outcome = TestResult.Outcome.PASSED
    duration = 0.1
