"""What the pages' scripts are told: done, or no and why. And who may be chosen as somebody's assignee."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import JsonResponse

from core.sorting import by_name


def done(**more: Any) -> JsonResponse:
    return JsonResponse({"ok": True, **more})


def refused(detail: str, status: int = 400) -> JsonResponse:
    """Answer with the sentence that the page shows."""
    return JsonResponse({"detail": detail}, status=status)


def people(and_also: int | None = None) -> QuerySet[User]:
    """Everybody who may be given work, and the account `and_also`, which has it already."""
    return User.objects.filter(Q(is_active=True) | Q(pk=and_also)).order_by(by_name("username"))
