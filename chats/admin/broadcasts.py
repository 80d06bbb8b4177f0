"""The list of broadcasts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter, MultipleChoicesDropdownFilter
from unfold.decorators import display

from chats.admin.compose import ComposeAdmin
from chats.admin.one_broadcast import BroadcastPagesAdmin
from chats.admin.send import SendBannerAdmin, may_send
from chats.models import Broadcast
from core.rest.snapshots import SnapshotLists


@admin.register(Broadcast)
class BroadcastAdmin(SendBannerAdmin, ComposeAdmin, BroadcastPagesAdmin, SnapshotLists, ModelAdmin):
    list_display = ["content", "state", "to_whom", "progress", "who", "created"]
    list_select_related = ["created_by", "banner"]
    list_filter = [
        ("status", MultipleChoicesDropdownFilter),
        ("audience", ChoicesDropdownFilter),
        ("created_at", admin.DateFieldListFilter),
    ]
    list_filter_submit = True
    list_per_page = 25
    search_fields = ["text", "banner__title"]
    search_help_text = "Search in texts and titles of banners"
    change_list_template = "chats/broadcast_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Broadcast]:
        return super().get_queryset(request).select_related("created_by", "banner")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return may_send(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Broadcast", ordering="id")
    def content(self, broadcast: Broadcast) -> str:
        return render_to_string("chats/broadcast_cell.html", {"broadcast": broadcast})

    @display(description="State", ordering="status")
    def state(self, broadcast: Broadcast) -> str:
        return render_to_string("chats/broadcast_state.html", {"broadcast": broadcast, "cell": True})

    @display(description="To", ordering="audience")
    def to_whom(self, broadcast: Broadcast) -> str:
        return broadcast.get_audience_display().capitalize()

    @display(description="Progress", ordering="delivered")
    def progress(self, broadcast: Broadcast) -> str:
        return render_to_string("chats/broadcast_progress.html", {"broadcast": broadcast})

    @display(description="By", ordering="created_by__username")
    def who(self, broadcast: Broadcast) -> str:
        return broadcast.created_by.get_username() if broadcast.created_by else "—"

    @display(description="Created", ordering="created_at")
    def created(self, broadcast: Broadcast) -> str:
        return render_to_string("chats/broadcast_when.html", {"dt": broadcast.created_at})
