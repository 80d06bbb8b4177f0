"""Deleting a person, and changing one's own password, while others change the same person.

What was theirs belongs to nobody afterwards, also what becomes theirs at the same moment.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connection, transaction
from django.http import HttpRequest, HttpResponse

from core.database.deadlocks import retried

MAX_ATTEMPTS = 5


@retried
def delete_person(*, person: Any) -> None:
    """Delete a person.

    A row that is given to them after theirs were looked for, and before theirs is locked, is found by the check of the
    foreign keys. From then on nobody can refer to them, because the row is locked. So the next try finds all.
    """
    pk = person.pk
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            with transaction.atomic():
                person.delete()
                connection.check_constraints()
            return
        except IntegrityError:
            person.pk = pk
            if attempt == MAX_ATTEMPTS:
                raise


def change_own_password(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
    """Django's page, under the lock of the user's row.

    It checks the old password, and writes all columns half a second later: what was changed meanwhile, such as a reset
    of the password or a deactivation, would be undone. Raises PermissionDenied for a user who is gone.
    """
    page = type(admin.site).password_change
    if request.method != "POST":
        return page(admin.site, request, extra_context)
    with transaction.atomic():
        users = get_user_model()._default_manager.select_for_update(no_key=True)
        user = users.filter(pk=request.user.pk, is_active=True).first()  # type: ignore[misc]  # it is signed in
        if user is None:
            raise PermissionDenied("Your account was deleted or deactivated.")
        request.user = user
        return page(admin.site, request, extra_context)
