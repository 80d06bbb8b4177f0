from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

MAX_PATH_LENGTH = 400  # characters; an index contains it


class Root(models.TextChoices):
    """The location of a test file: see testrunner/files/discovery.py."""

    SAMPLES = "samples", "sample tests"
    PROJECT = "project", "Opsroom's own tests"
    UPLOADS = "uploads"


class TestFileQuerySet(models.QuerySet["TestFile"]):
    def existing(self) -> TestFileQuerySet:
        """Files that can be chosen."""
        return self.filter(removed=False)


class TestFile(models.Model):
    """A test file, or a support file, below one of the roots, as it was when the file system was last read.

    The row does not contain the bytes; they are in the file.
    """

    __test__ = False

    root = models.CharField(max_length=8, choices=Root)
    path = models.CharField(max_length=MAX_PATH_LENGTH)  # relative to the root, with /
    sha256 = models.CharField(max_length=64)
    size = models.PositiveIntegerField()
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    uploaded_at = models.DateTimeField("uploaded", null=True, blank=True, editable=False)
    removed = models.BooleanField(default=False, editable=False)  # the file no longer exists; runs still refer to it

    objects = TestFileQuerySet.as_manager()

    class Meta:
        ordering = ["root", "path"]
        default_permissions = ("view", "delete")
        permissions = [("upload_testfile", "Can upload test files: their code runs on the test runner's machine")]
        constraints = [
            # Its index also serves listing a root's files by directory.
            models.UniqueConstraint(fields=["root", "path"], name="testrunner_testfile_once"),
            models.CheckConstraint(
                condition=Q(root__in=["samples", "project", "uploads"]), name="testrunner_testfile_root"
            ),
            models.CheckConstraint(
                condition=~Q(path="") & ~Q(path__startswith="/") & ~Q(path__regex=r"(^|/)\.\.?(/|$)"),
                name="testrunner_testfile_below_root",
            ),
            models.CheckConstraint(condition=Q(sha256__regex="^[0-9a-f]{64}$"), name="testrunner_testfile_sha256"),
        ]

    def __str__(self) -> str:
        return f"{self.root}/{self.path}"

    @property
    def is_python(self) -> bool:
        """Whether the file can be chosen for a run; other files are added with the tests in their folder."""
        return self.path.endswith(".py")

    @property
    def directory(self) -> str:
        return self.path.rpartition("/")[0]
