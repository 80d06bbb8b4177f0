"""The banner page: the next banner of the banner API, sent banners and skipped banners."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.views.decorators.http import require_safe
from unfold.admin import ModelAdmin

from chats import services
from chats.admin.send import SendBannerAdmin, may_send
from chats.banners.next_banner import NoPreview, find_next_banner, preview
from chats.models import Banner, BroadcastNotAllowed
from core.admin.dialog import ConfirmDialog, ask, go_to
from core.rest.snapshots import SnapshotLists

SALT = "chats.banner"
GOOD_FOR = 3600  # seconds for which a page's preview and its skip link are valid


class BannerStateFilter(admin.SimpleListFilter):
    """List filter by the banner's state."""

    title = "state"
    parameter_name = "fate"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("sent", "Sent or sending"), ("skipped", "Skipped"), ("free", "Not sent")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Banner]) -> QuerySet[Banner]:
        wanted = {
            "sent": Q(broadcast__isnull=False),
            "skipped": Q(broadcast__isnull=True, skipped_at__isnull=False),
            "free": Q(broadcast__isnull=True, skipped_at__isnull=True),
        }.get(self.value() or "")
        return queryset.filter(wanted) if wanted is not None else queryset


@admin.register(Banner)
class BannerAdmin(SendBannerAdmin, SnapshotLists, ModelAdmin):
    list_display = ["__str__"]
    list_display_links = None
    list_filter = [BannerStateFilter]
    list_filter_submit = True
    list_select_related = ["broadcast"]
    list_per_page = 24
    search_fields = ["title", "source_url"]
    search_help_text = "Search in titles and addresses"
    list_before_template = "chats/banner_before.html"
    change_list_template = "chats/banner_list.html"

    class Media:
        css = {"all": ["chats/banners.css"]}

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("next/", wrap(require_safe(self.next_view)), name="chats_banner_next"),
            path("preview/<str:token>/", wrap(require_safe(self.preview_view)), name="chats_banner_preview"),
            path("skip/<str:token>/", wrap(self.skip_view), name="chats_banner_skip"),
            path("<int:pk>/allow/", wrap(self.allow_view), name="chats_banner_allow"),
            *super().get_urls(),
        ]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {**(extra_context or {}), "may_send": may_send(request)})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the banner's broadcast or to the list filtered by the banner. A banner has no page of its own."""
        banner = self._may_view(request) and self.get_object(request, object_id)
        if not banner:
            raise Http404
        if hasattr(banner, "broadcast"):
            return go_to(request, reverse("admin:chats_broadcast_change", args=[banner.broadcast.pk]))
        return go_to(request, f"{reverse('admin:chats_banner_changelist')}?{urlencode({'q': banner.source_url})}")

    def next_view(self, request: HttpRequest) -> HttpResponse:
        """Return the part of the page that calls the banner API and may be slow. Only for users who may send."""
        self._may_ask(request)
        next_banner = find_next_banner()
        token = signing.dumps([next_banner.photo.url, next_banner.photo.title], salt=SALT) if next_banner.photo else ""
        context = {"next_banner": next_banner, "token": token, "may_send": True}
        return render(request, "chats/banner_next.html", context)

    def preview_view(self, request: HttpRequest, token: str) -> HttpResponse:
        """Return the next picture, downloaded and re-encoded here. The page itself loads nothing from outside."""
        self._may_ask(request)
        url, _ = _read(token)
        try:
            content = preview(url)
        except NoPreview as error:
            return HttpResponse(str(error), status=502, content_type="text/plain; charset=utf-8")
        headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": f"private, max-age={GOOD_FOR}"}
        return HttpResponse(content, content_type="image/webp", headers=headers)

    def skip_view(self, request: HttpRequest, token: str) -> HttpResponse:
        """GET shows a confirmation; POST skips the photo permanently."""
        if not may_send(request):
            raise PermissionDenied
        url, title = _read(token)
        if request.method != "POST":
            words = format_html("<strong>{}</strong> will not be sent. The one after it is next.", title or url)
            return self._ask(request, "Skip this banner?", words, "Skip banner")
        try:
            services.skip_banner(url=url, title=title, actor=request.user)
            messages.success(request, "The banner is skipped. It is listed below, where you can allow it again.")
        except BroadcastNotAllowed as error:
            messages.error(request, str(error))
        return go_to(request, reverse("admin:chats_banner_changelist"))

    def allow_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """GET shows a confirmation; POST undoes the skipping of a photo."""
        if not may_send(request):
            raise PermissionDenied
        banner = get_object_or_404(Banner, pk=pk)
        if request.method != "POST":
            words = format_html("<strong>{}</strong> will be sent when its turn in the API's list comes.", banner)
            return self._ask(request, "Allow this banner again?", words, "Allow again")
        services.unskip_banner(banner=banner)
        messages.success(request, f"“{banner}” is allowed again.")
        return go_to(request, reverse("admin:chats_banner_changelist"))

    def _ask(self, request: HttpRequest, title: str, words: str, button: str) -> HttpResponse:
        question = ConfirmDialog(title, reverse("admin:chats_banner_changelist"), button, words)
        return ask(request, question, model_admin=self)

    def _may_ask(self, request: HttpRequest) -> None:
        """Require the permission to send as well: a request to the external API occupies a thread for seconds."""
        if not (self._may_view(request) and may_send(request)):
            raise PermissionDenied

    def _may_view(self, request: HttpRequest) -> bool:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return True


def _read(token: str) -> tuple[str, str]:
    """Return the photo's address and title from its signed token. Clients cannot choose which URL is fetched."""
    try:
        url, title = signing.loads(token, salt=SALT, max_age=GOOD_FOR)
    except signing.BadSignature as error:
        raise Http404 from error
    return url, title
