"""What the pages' scripts are told: done, or no and why. And who may be chosen as somebody's assignee."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import JsonResponse


def done(**more: Any) -> JsonResponse:
    return JsonResponse({"ok": True, **more})


def refused(detail: str, status: int = 400) -> JsonResponse:
    """Answer with the sentence that the page shows."""
    return JsonResponse({"detail": detail}, status=status)


def people() -> QuerySet[User]:
    """Everybody who may be given work."""
    return User.objects.filter(is_active=True).order_by("username")
