"""Deletion of a user, and change of one's own password, safe against concurrent changes of the same user.

Objects of a deleted user lose their owner, including those that are assigned at the same moment.
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
    """Delete a user.

    Another transaction may assign a row to the user after the related rows were collected and before the user's row is
    locked. The foreign key check finds it. After that no new reference is possible, because the row is locked. So the
    next attempt finds all rows.
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

    The page checks the old password, and writes all columns half a second later. Without the lock it would undo a
    concurrent change, such as a password reset or a deactivation. Raises PermissionDenied for a deleted user.
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
