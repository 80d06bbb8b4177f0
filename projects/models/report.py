from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from projects.models.attempts import MAX_ATTEMPTS


class Report(models.Model):
    """The summary of one day in TIME_ZONE, as of the time it was made.

    projects/reports.py describes the format of `data`.
    """

    date = models.DateField()
    data = models.JSONField()
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    mailed_at = models.DateTimeField("mailed", null=True, editable=False)
    resend_at = models.DateTimeField(null=True, editable=False)  # set while another mail is requested
    lease_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    error = models.CharField(max_length=500, blank=True, default="", editable=False)

    class Meta:
        ordering = ["-date"]
        default_permissions = ("view",)
        permissions = [("resend_report", "Can mail a report again")]
        indexes = [
            # Query run every 30 seconds: which reports have to be mailed?
            models.Index(
                fields=["id"],
                condition=Q(mailed_at__isnull=True) | Q(resend_at__isnull=False),
                name="projects_report_to_mail",
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["date"], name="projects_report_once_a_day"),
            models.CheckConstraint(condition=Q(attempts__lte=MAX_ATTEMPTS), name="projects_report_attempts"),
        ]

    def __str__(self) -> str:
        return f"Report of {self.date}"
