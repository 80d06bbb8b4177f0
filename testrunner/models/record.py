"""Records of a run: the bytes that were run, the log, and the result of every test."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from testrunner.models.environment import TestEnvironment
from testrunner.models.file import MAX_PATH_LENGTH, Root
from testrunner.models.run import TestRun
from testrunner.sandbox.results.nodeids import MAX_NODEID_LENGTH
from testrunner.sandbox.results.outcome import MAX_DURATION


class RunFile(models.Model):
    """A file of a run, with the bytes it had when the run was requested. Later changes of the file have no effect."""

    run = models.ForeignKey(TestRun, models.CASCADE, related_name="files", db_index=False)
    position = models.PositiveSmallIntegerField()
    root = models.CharField(max_length=8, choices=Root)
    path = models.CharField(max_length=MAX_PATH_LENGTH)
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    content = models.BinaryField()
    comes_along = models.BooleanField(db_default=False)  # not chosen itself: a support file beside a chosen test

    class Meta:
        ordering = ["run", "position"]
        default_permissions = ()  # visible with the run
        constraints = [
            # Its index also serves the lookup of a run's files.
            models.UniqueConstraint(fields=["run", "position"], name="testrunner_runfile_position"),
            models.UniqueConstraint(fields=["run", "root", "path"], name="testrunner_runfile_once"),
        ]

    def __str__(self) -> str:
        return f"{self.root}/{self.path}"


class TestResult(models.Model):
    """The result of one test of one run. The environment is the run's, repeated for the index."""

    __test__ = False

    class Outcome(models.TextChoices):
        PASSED = "passed"
        FAILED = "failed"
        SKIPPED = "skipped"
        ERROR = "error"  # before or after the test itself: a fixture, an import
        XFAILED = "xfailed", "failed as expected"
        XPASSED = "xpassed", "passed unexpectedly"

    FAILURES = [Outcome.FAILED, Outcome.ERROR]
    PASSES = [Outcome.PASSED, Outcome.XFAILED]
    JUDGED = FAILURES + PASSES

    run = models.ForeignKey(TestRun, models.CASCADE, related_name="results", db_index=False)
    environment = models.ForeignKey(TestEnvironment, models.PROTECT, related_name="+", db_index=False)
    nodeid = models.CharField(max_length=MAX_NODEID_LENGTH)
    path = models.CharField(max_length=MAX_PATH_LENGTH)
    name = models.CharField(max_length=MAX_NODEID_LENGTH)
    outcome = models.CharField(max_length=7, choices=Outcome)
    duration = models.FloatField(default=0)  # seconds
    message = models.TextField(blank=True, default="")  # one line
    details = models.TextField(blank=True, default="")  # the traceback

    class Meta:
        ordering = ["run", "id"]
        default_permissions = ("view",)
        indexes = [
            # A test's history in an environment, newest first, to find flaky tests.
            models.Index(fields=["environment", "nodeid", "-run"], name="testrunner_testresult_history"),
        ]
        constraints = [
            # Its index also serves the lookup of a run's results.
            models.UniqueConstraint(fields=["run", "nodeid"], name="testrunner_testresult_once"),
            models.CheckConstraint(
                condition=Q(outcome__in=["passed", "failed", "skipped", "error", "xfailed", "xpassed"]),
                name="testrunner_testresult_outcome",
            ),
            # A test can write its own report, so a false duration must not break a page.
            models.CheckConstraint(
                condition=Q(duration__gte=0, duration__lte=MAX_DURATION), name="testrunner_testresult_duration"
            ),
        ]

    def __str__(self) -> str:
        return self.nodeid


class LogChunk(models.Model):
    """A piece of a run's log: `data` contains the bytes from `offset` on."""

    run = models.ForeignKey(TestRun, models.CASCADE, related_name="log", db_index=False)
    offset = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ["run", "offset"]
        default_permissions = ()  # read with the run
        constraints = [
            # Its index also serves reading a range of the log.
            models.UniqueConstraint(fields=["run", "offset"], name="testrunner_logchunk_once"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}+{self.offset}"
