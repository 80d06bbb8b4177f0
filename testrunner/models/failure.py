from __future__ import annotations

from django.db import models

from testrunner.models.environment import TestEnvironment
from testrunner.models.run import TestRun
from testrunner.sandbox.results.nodeids import MAX_NODEID_LENGTH


class FailureTask(models.Model):
    """The single task of a test that fails in an environment.

    The row is deleted with the task, so the next failure opens a new one.
    """

    environment = models.ForeignKey(TestEnvironment, models.CASCADE, related_name="+", db_index=False)
    nodeid = models.CharField(max_length=MAX_NODEID_LENGTH)
    task = models.OneToOneField("projects.Task", models.CASCADE, related_name="test_failure")
    last_run = models.ForeignKey(TestRun, models.SET_NULL, null=True, related_name="+")

    class Meta:
        default_permissions = ()  # users who may see the task see it there
        constraints = [
            models.UniqueConstraint(fields=["environment", "nodeid"], name="testrunner_failuretask_once"),
        ]

    def __str__(self) -> str:
        return f"{self.nodeid} in {self.environment_id}"
