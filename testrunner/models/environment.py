from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Expression, F, Q
from simple_history.models import HistoricalRecords

from testrunner.clock import database_now
from testrunner.sandbox.pytest_command import STEERING

FIRST, LAST = 1, 100  # the first and last environment id
# Names that a shell can export. Names that the runner sets itself, or that would change how tests are run, are reserved
# (RESERVED_NAMES). All others reach the tests.
VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
RESERVED_NAMES = rf"^(TEST_ENVIRONMENT_.*|{STEERING})$"


class TestEnvironmentQuerySet(models.QuerySet["TestEnvironment"]):
    def enabled(self) -> TestEnvironmentQuerySet:
        return self.filter(enabled=True)

    def reserved(self, now: datetime | Expression) -> TestEnvironmentQuerySet:
        """Environments that are reserved at `now` (database's clock), or will be from the end of the active run on."""
        return self.filter(Q(reserved_until__gt=now) | Q(reserved_for__isnull=False, reserved_until=None))


class TestEnvironment(models.Model):
    """One of the hundred shared environments that tests run against; at most one run is active in it at a time.

    Code that starts, ends or queues a run locks this row first (testrunner/queue/claims.py).
    """

    __test__ = False  # pytest would collect every class whose name begins with Test

    id = models.PositiveSmallIntegerField(primary_key=True, editable=False)
    name = models.CharField(max_length=100, unique=True)
    description = models.TextField(blank=True, default="", max_length=2_000)
    enabled = models.BooleanField(default=True)
    # The project where failed tests open tasks; no tasks are opened if empty.
    project = models.ForeignKey(
        "projects.Project", models.SET_NULL, null=True, blank=True, related_name="test_environments"
    )

    # A reservation lasts for `reserved_for`. It has begun once `reserved_from` and `reserved_until` are set. Before
    # that, it waits for the end of the run that was active when it was made. Other users' runs wait from the moment it
    # was made.
    reserved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    reserved_for = models.DurationField(null=True, editable=False)
    reserved_from = models.DateTimeField(null=True, editable=False)
    reserved_until = models.DateTimeField(null=True, editable=False)
    reservation_note = models.CharField(max_length=200, blank=True, default="", editable=False)

    # Counts the runs that were started here. Each run gets the count as its lease token, so no two tokens are equal.
    generation = models.BigIntegerField(default=0, editable=False)

    history = HistoricalRecords(excluded_fields=["generation"])
    objects = TestEnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        default_permissions = ("view", "change")  # there are always exactly a hundred environments
        permissions = [("reserve_testenvironment", "Can reserve test environments and release them")]
        constraints = [
            models.CheckConstraint(
                condition=Q(id__gte=FIRST, id__lte=LAST), name="testrunner_testenvironment_one_of_hundred"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="testrunner_testenvironment_named"),
            models.CheckConstraint(
                condition=Q(reserved_from=None, reserved_until=None)
                | Q(
                    reserved_for__isnull=False,
                    reserved_from__isnull=False,
                    reserved_until__isnull=False,
                    reserved_from__lt=F("reserved_until"),
                ),
                name="testrunner_testenvironment_reserved_when",
            ),
            # If the user is deleted, the times of the reservation remain and expire by themselves.
            models.CheckConstraint(
                condition=Q(reserved_by=None) | Q(reserved_for__isnull=False),
                name="testrunner_testenvironment_reserved_how_long",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def is_reserved(self, now: datetime | None = None) -> bool:
        """Whether only the holder's runs start here, now or at the time `now` of the database's clock."""
        if self.reserved_by_id is None or self.reserved_for is None:
            return False
        return self.reserved_until is None or self.reserved_until > (now or database_now())


class EnvironmentVariable(models.Model):
    """A variable that every test of an environment sees. Pages and logs show only the name of a secret one."""

    environment = models.ForeignKey(TestEnvironment, models.CASCADE, related_name="variables", db_index=False)
    name = models.CharField(
        max_length=100,
        validators=[
            RegexValidator(VARIABLE_NAME, "Letters, digits and _ only, and no digit first."),
            RegexValidator(RESERVED_NAMES, "The test runner sets this one itself.", inverse_match=True),
        ],
    )
    value = models.TextField(blank=True, default="", max_length=10_000)
    secret = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            # Its index also serves the lookup of an environment's variables.
            models.UniqueConstraint(fields=["environment", "name"], name="testrunner_environmentvariable_once"),
            models.CheckConstraint(
                condition=Q(name__regex=VARIABLE_NAME) & ~Q(name__regex=RESERVED_NAMES),
                name="testrunner_environmentvariable_name",
            ),
        ]

    def __str__(self) -> str:
        return self.name
