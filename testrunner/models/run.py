from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from testrunner.clock import ClockNow
from testrunner.models.environment import TestEnvironment


class RunNotAllowed(Exception):
    """The request does not fit the current state. The text is a sentence for users."""


class TestRunQuerySet(models.QuerySet["TestRun"]):
    def queued(self) -> TestRunQuerySet:
        return self.filter(status=TestRun.Status.QUEUED)

    def running(self) -> TestRunQuerySet:
        return self.filter(status=TestRun.Status.RUNNING)

    def finished(self) -> TestRunQuerySet:
        return self.filter(status__in=TestRun.FINISHED)

    def unfinished(self) -> TestRunQuerySet:
        return self.filter(status__in=[TestRun.Status.QUEUED, TestRun.Status.RUNNING])

    def judged(self) -> TestRunQuerySet:
        """Runs whose tests all ran; durations are estimated from them."""
        return self.filter(status__in=TestRun.JUDGED)


class TestRun(models.Model):
    """One run of some test files in one environment, from the request to the result.

    Ids are assigned under the environment's lock, so within an environment a lower id was queued earlier. All times are
    from the database's clock. From request to outcome, only testrunner/services.py, claims.py, leases.py and
    result_writer.py change a row, the last two only with the token. After that, failure_tasks.py and retention.py clear
    their own flags.
    """

    __test__ = False

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCESS = "success"  # exit code 0, a complete report, and at least one test
        FAILED = "failed"  # at least one test failed
        ERROR = "error"  # the tests could not be run properly; `reason` says why
        TIMED_OUT = "timed_out", "timed out"
        CANCELLED = "cancelled"
        LOST = "lost"  # its worker stopped renewing the lease

    JUDGED = [Status.SUCCESS, Status.FAILED]
    FINISHED = [Status.SUCCESS, Status.FAILED, Status.ERROR, Status.TIMED_OUT, Status.CANCELLED, Status.LOST]

    COUNTS = ["tests", "passed", "failed", "skipped", "errors"]  # the fields that count its tests, in this order
    OPTIONS = ["environment_id", "wall_seconds", "selection"]  # what a request chooses besides files; reruns repeat it

    environment = models.ForeignKey(TestEnvironment, models.PROTECT, related_name="runs", db_index=False)
    requested_by = models.CharField(max_length=255)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="test_runs",
        db_index=False,
    )  # fmt: skip
    status = models.CharField(max_length=9, choices=Status, default=Status.QUEUED, editable=False)
    reason = models.CharField(max_length=500, blank=True, default="", editable=False)
    rerun_of = models.ForeignKey("self", models.SET_NULL, null=True, blank=True, editable=False, related_name="reruns")
    # The ids of the tests to run; empty for all tests of the files.
    selection = models.JSONField(default=list, editable=False)
    wall_seconds = models.PositiveIntegerField()
    # A digest of the files' paths, not of their bytes: the key for looking up earlier durations.
    files_key = models.CharField(max_length=64, editable=False)
    # Two deliveries of one click, including a double click, become one run. Made of the key that was sent and the
    # content of the request: testrunner/services.py.
    request_key = models.UUIDField(null=True, unique=True, editable=False)

    queued_at = models.DateTimeField("queued", db_default=ClockNow(), editable=False)
    started_at = models.DateTimeField("started", null=True, editable=False)
    finished_at = models.DateTimeField("finished", null=True, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )

    # Owner of a running run. Every write of the worker names the token, and is refused once the token is another's.
    worker = models.CharField(max_length=255, blank=True, default="", editable=False)
    lease_token = models.BigIntegerField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)

    sandbox = models.CharField(max_length=200, blank=True, default="", editable=False)
    exit_code = models.IntegerField(null=True, editable=False)
    tests = models.PositiveIntegerField(default=0, editable=False)
    passed = models.PositiveIntegerField(default=0, editable=False)
    failed = models.PositiveIntegerField(default=0, editable=False)
    skipped = models.PositiveIntegerField(default=0, editable=False)
    errors = models.PositiveIntegerField(default=0, editable=False)
    log_size = models.PositiveBigIntegerField(default=0, editable=False)  # bytes kept
    log_dropped = models.PositiveBigIntegerField(default=0, editable=False)  # bytes left out of the middle
    junit_xml = models.TextField(blank=True, default="", editable=False)
    # Whether log, report, tracebacks and the files' bytes are still kept, as far as they existed: retention.py.
    is_kept = models.BooleanField(db_default=True, editable=False)
    # Whether tasks still have to be opened, commented on or completed for its results:
    # testrunner/records/failure_tasks.py.
    tasks_due = models.BooleanField(default=False, editable=False)
    tasks_after = models.BigIntegerField(db_default=0, editable=False)  # id of the last result that is settled
    tasks_opened = models.PositiveSmallIntegerField(db_default=0, editable=False)

    objects = TestRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view", "add")
        permissions = [("cancel_testrun", "Can cancel test runs of others")]
        indexes = [
            # An environment's queue, oldest first; the environments that have a queue.
            models.Index(fields=["environment", "id"], condition=Q(status="queued"), name="testrunner_testrun_queue"),
            # The sweeper, every few seconds: expired leases.
            models.Index(fields=["lease_until"], condition=Q(status="running"), name="testrunner_testrun_leases"),
            # An environment's history, newest first.
            models.Index(fields=["environment", "-id"], name="testrunner_testrun_history"),
            # The table filtered by status, newest first.
            models.Index(fields=["status", "-id"], name="testrunner_testrun_by_status"),
            # "My runs", and SET NULL when a user is deleted.
            models.Index(fields=["created_by", "-id"], name="testrunner_testrun_by_creator"),
            # Earlier durations of the same files, here and in other environments.
            models.Index(
                fields=["files_key", "environment", "-id"],
                condition=Q(status__in=["success", "failed"]),
                name="testrunner_testrun_durations",
            ),
            # Retention: runs whose log has expired.
            models.Index(fields=["finished_at"], condition=Q(is_kept=True), name="testrunner_testrun_kept"),
            # The sweeper: runs with results for which tasks are due.
            models.Index(
                fields=["environment", "id"], condition=Q(tasks_due=True), name="testrunner_testrun_tasks_due"
            ),
        ]
        constraints = [
            # The central guarantee of this app. Its index also serves the lookup of an environment's active run.
            models.UniqueConstraint(
                fields=["environment"], condition=Q(status="running"), name="testrunner_testrun_one_active"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "success", "failed"])
                | Q(status__in=["error", "timed_out", "cancelled", "lost"]),
                name="testrunner_testrun_status",
            ),
            models.CheckConstraint(
                condition=Q(status="queued", started_at=None, finished_at=None)
                | Q(status="running", started_at__isnull=False, finished_at=None)
                | Q(status="cancelled", finished_at__isnull=False)
                | Q(
                    status__in=["success", "failed", "error", "timed_out", "lost"],
                    started_at__isnull=False,
                    finished_at__isnull=False,
                ),
                name="testrunner_testrun_times",
            ),
            models.CheckConstraint(
                condition=(Q(started_at=None) | Q(started_at__gte=F("queued_at")))
                & (Q(finished_at=None) | Q(started_at=None) | Q(finished_at__gte=F("started_at"))),
                name="testrunner_testrun_times_in_order",
            ),
            models.CheckConstraint(
                condition=Q(status="running", lease_token__isnull=False, lease_until__isnull=False)
                | (~Q(status="running") & Q(lease_until=None)),
                name="testrunner_testrun_leased_while_running",
            ),
            models.CheckConstraint(
                condition=~Q(status="success")
                | Q(exit_code__isnull=False, exit_code=0, tests__gt=0, failed=0, errors=0)
                # All files were skipped as a whole, so pytest collected no test: its exit code 5.
                | Q(exit_code__isnull=False, exit_code=5, tests__gt=0, tests=F("skipped"), failed=0, errors=0),
                name="testrunner_testrun_success_is_earned",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["error", "timed_out", "cancelled", "lost"]) | ~Q(reason=""),
                name="testrunner_testrun_ended_why",
            ),
            models.CheckConstraint(
                condition=~Q(status="cancelled") | Q(cancel_requested_at__isnull=False),
                name="testrunner_testrun_cancelled_when",
            ),
            models.CheckConstraint(condition=~Q(requested_by=""), name="testrunner_testrun_requested_by_somebody"),
            models.CheckConstraint(condition=Q(wall_seconds__gt=0), name="testrunner_testrun_wall"),
        ]

    def __str__(self) -> str:
        return f"Run {self.pk}"

    @property
    def is_finished(self) -> bool:
        return self.status in self.FINISHED

    @property
    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.COUNTS}

    def duration(self, now: datetime | None = None) -> timedelta | None:
        """Return how long the run took, or has been running so far; None if it never started."""
        if self.started_at is None:
            return None
        return (self.finished_at or now or timezone.now()) - self.started_at
