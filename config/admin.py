"""Admin pages of the Administration group: users, tokens, locked accounts; and the URLs of the front page.

Each library registers its admin in its own style. So its classes are combined with the theme's and registered again.
Logs are read-only.
"""

from typing import Any

from axes.admin import AccessAttemptAdmin, AccessFailureLogAdmin, AccessLogAdmin
from axes.handlers.proxy import AxesProxyHandler
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm

from accounts.models import AccessToken
from config.dashboard import front_page_card
from config.pages import kept_forms, my_access, schedule_pages
from config.pages.people import change_own_password, delete_person
from config.pages.person_form import NewPersonForm
from core.admin.concurrent_forms import ConcurrentFormsAdmin
from core.admin.deletion import ConcurrentDeletionAdmin, DeletionAdmin
from core.rest.snapshots import SnapshotLists
from core.templatetags.opsroom import state, when

admin.site.unregister([User, Group])
admin.site.unregister([AccessAttempt, AccessLog, AccessFailureLog])
schedule_pages.register()


class ReadOnlyAdmin(SnapshotLists, ModelAdmin):
    """Admin of a log: readable, deletable with the delete permission, never editable."""

    change_list_template = "config/read_only_list.html"
    empty_icon = "verified_user"
    empty_title = "No entries"
    empty_words = "Entries are added automatically."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


# --- People ---------------------------------------------------------------------------------------
@admin.register(User)
class PersonAdmin(ConcurrentFormsAdmin, DeletionAdmin, UserAdmin, SnapshotLists, ModelAdmin):
    form = UserChangeForm
    add_form = NewPersonForm
    add_form_template = None  # Django's own template announces further options on a second page
    add_fieldsets = [(None, {"fields": ["username", "email", "groups", "password1", "password2"]})]
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "full_name", "roles", "standing", "seen"]
    list_filter = ["groups", "is_active", "is_superuser"]
    search_help_text = "Name or e-mail"
    # Not editable: the form would also refuse times in a repeated hour.
    readonly_fields = ["last_login", "date_joined"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).prefetch_related("groups")

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        with transaction.atomic():  # so that `get_object` can lock the row
            return super().user_change_password(request, id, form_url)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        delete_person(person=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for person in queryset.order_by("pk"):
            delete_person(person=person)

    @admin.display(description="Name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @admin.display(description="Groups")
    def roles(self, user: User) -> str:
        named = sorted(group.name for group in user.groups.all())
        return ", ".join(["superuser", *named] if user.is_superuser else named) or "–"

    @admin.display(description="State", ordering="is_active")
    def standing(self, user: User) -> str:
        if not user.is_active:
            return state("off", "Deactivated")
        return state("on", "Admin and API") if user.is_staff else state("idle", "API only")

    @admin.display(description="Last signed in", ordering="last_login")
    def seen(self, user: User) -> str:
        return when(user.last_login)


@admin.register(Group)
class RoleAdmin(ConcurrentFormsAdmin, ConcurrentDeletionAdmin, GroupAdmin, SnapshotLists, ModelAdmin):
    list_display = ["name", "members"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return super().get_queryset(request).annotate(member_count=Count("user"))

    @admin.display(description="Members", ordering="member_count")
    def members(self, group: Any) -> int:
        return group.member_count


@admin.register(AccessToken)
class AccessTokenAdmin(ReadOnlyAdmin):
    """Tokens of all users. A key is shown once, to the user who creates it (config/pages/my_access.py)."""

    empty_icon = "key"
    empty_title = "No tokens yet"
    empty_words = "A program signs in with a token. Users get theirs at POST /auth/token/."
    list_display = ["user", "begins_with", "created", "used", "expires"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    search_help_text = "Username"

    @admin.display(description="Begins with")
    def begins_with(self, token: AccessToken) -> str:
        return format_html('<span class="mono">{}…</span>', token.begins)

    @admin.display(description="Created", ordering="created_at")
    def created(self, token: AccessToken) -> str:
        return when(token.created_at)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, token: AccessToken) -> str:
        return when(token.last_used_at)

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, token: AccessToken) -> str:
        return when(token.expires_at)


# --- Locked accounts ------------------------------------------------------------------------------
@admin.register(AccessAttempt)
class LoginAttemptAdmin(ReadOnlyAdmin, AccessAttemptAdmin, ModelAdmin):
    """Current failed logins. Deleting one unlocks the account at once."""

    list_display = ["username", "ip_address", "attempted", "failures_since_start", "standing"]
    empty_title = "No account is locked"
    empty_words = "After five wrong passwords a name is locked for its address, for 15 minutes; then it is listed here."
    date_hierarchy = None
    search_help_text = "Username or address"

    @admin.action(description="Delete expired attempts", permissions=["delete"])
    def cleanup_expired_attempts(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        """Run the library's action, which needs attributes that only a login sets on the request."""
        AxesProxyHandler.update_request(request)
        super().cleanup_expired_attempts(request, queryset)

    @admin.display(description="Last attempt", ordering="attempt_time")
    def attempted(self, attempt: AccessAttempt) -> str:
        return when(attempt.attempt_time)

    @admin.display(description="State")
    def standing(self, attempt: AccessAttempt) -> str:
        left = settings.AXES_FAILURE_LIMIT - attempt.failures_since_start
        return state("locked out") if left <= 0 else state("waiting", f"{left} left")


@admin.register(AccessLog)
class LoginAdmin(ReadOnlyAdmin, AccessLogAdmin, ModelAdmin):
    list_display = ["username", "ip_address", "came", "left"]
    date_hierarchy = None
    show_full_result_count = False

    @admin.display(description="Signed in", ordering="attempt_time")
    def came(self, log: AccessLog) -> str:
        return when(log.attempt_time)

    @admin.display(description="Signed out", ordering="logout_time")
    def left(self, log: AccessLog) -> str:
        return when(log.logout_time)


@admin.register(AccessFailureLog)
class LoginFailureAdmin(ReadOnlyAdmin, AccessFailureLogAdmin, ModelAdmin):
    date_hierarchy = None


# --- The front page -------------------------------------------------------------------------------
def _front_page_urls() -> list[URLPattern]:
    return [
        path("front-page/<slug:name>/", front_page_card, name="front_page_card"),
        *my_access.urls(),
        *kept_forms.urls(),
    ]


# Not named admin/index.html, because the theme's template of that name would be found first.
admin.site.index_template = "config/front_page.html"
admin.site.login_template = "config/login.html"
admin.site.extra_urls = _front_page_urls
admin.site.password_change = change_own_password  # type: ignore[method-assign, assignment]
