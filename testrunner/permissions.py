"""REST permissions beyond the four standard model permissions."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from testrunner.models import TestRun


class MayReserve(BasePermission):
    """Users who may reserve an environment may also release one."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user.has_perm("testrunner.reserve_testenvironment")


class MayUpload(BasePermission):
    """Required for uploads, because uploaded code runs on the test runner's machine."""

    message = "You may not upload test files."

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user.has_perm("testrunner.upload_testfile")


class MayStart(BasePermission):
    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user.has_perm("testrunner.add_testrun")


class MayCancel(BasePermission):
    """Users may cancel their own runs, and with a permission all runs."""

    message = "You may not cancel this run: it was requested by another user."

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.user.has_perm("testrunner.view_testrun")

    def has_object_permission(self, request: Request, view: Any, run: TestRun) -> bool:
        return run.created_by_id == request.user.pk or request.user.has_perm("testrunner.cancel_testrun")
