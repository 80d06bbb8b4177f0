"""JSON responses for the scripts of the project pages, and the accounts that can be assignees."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import JsonResponse

from core.sorting import by_name


def no_content(**more: Any) -> JsonResponse:
    return JsonResponse({"ok": True, **more})


def error_response(detail: str, status: int = 400) -> JsonResponse:
    """Return an error whose `detail` is the sentence the page shows."""
    return JsonResponse({"detail": detail}, status=status)


def people(and_also: int | None = None) -> QuerySet[User]:
    """Return the active accounts, and the account with id `and_also`, which is already assigned."""
    return User.objects.filter(Q(is_active=True) | Q(pk=and_also)).order_by(by_name("username"))
