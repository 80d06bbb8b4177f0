"""The list of notifications with their delivery state, and a button to send one again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.forms import ModelForm
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from core.templatetags.opsroom import when
from events import services
from events.admin.resend import ResendNotificationAdmin, may_resend
from events.models import Notification


@admin.register(Notification)
class NotificationAdmin(ResendNotificationAdmin, ModelAdmin):
    list_display = ["user", "text", "state", "attempts", "created", "in_chat"]
    list_select_related = ["message__chat"]
    list_filter = [("status", ChoicesDropdownFilter)]
    list_filter_submit = True
    list_per_page = 50
    show_full_result_count = False
    paginator = InfinitePaginator
    ordering = ["-created_at", "-event_id"]
    sortable_by = ()
    search_fields = ["user_id__exact"]
    search_help_text = "The whole user id"
    actions = None
    change_list_template = "events/notification_list.html"

    def get_list_display(self, request: HttpRequest) -> Any:
        return [*self.list_display, "resend_link"] if may_resend(request) else self.list_display

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            return ["user_id", "description"]
        fields = ["user", "description", "state", "attempts", "in_chat", "created", "processed", "event_id"]
        return [*fields, "resend_link"] if may_resend(request) else fields

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return [] if obj is None else self.get_fields(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False  # sent notifications do not change; sending again has its own page

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Notification, form: ModelForm, change: bool) -> None:
        sent = services.send_notification(user_id=obj.user_id, description=obj.description)
        obj.event_id, obj.created_at = sent.event_id, sent.created_at

    @display(description="User")
    def user(self, notification: Notification) -> str:
        return format_html('<span class="mono">{}</span>', notification.user_id)

    @display(description="Text")
    def text(self, notification: Notification) -> str:
        text = notification.description
        title, short = Truncator(text).chars(1000), Truncator(text).chars(80)
        return format_html('<span dir="auto" title="{}">{}</span>', title, short)

    @display(description="State")
    def state(self, notification: Notification) -> str:
        return render_to_string("events/notification_state.html", {"notification": notification})

    @display(description="Attempts")
    def attempts(self, notification: Notification) -> str:
        return format_html('<span class="number">{}</span>', notification.attempts)

    @display(description="Created")
    def created(self, notification: Notification) -> str:
        return when(notification.created_at)

    @display(description="Processed")
    def processed(self, notification: Notification) -> str:
        return when(notification.processed_at)

    @display(description="In the chat")
    def in_chat(self, notification: Notification) -> str:
        return render_to_string("events/notification_chat.html", {"notification": notification})

    @display(description="Action")
    def resend_link(self, notification: Notification) -> str:
        return render_to_string("events/resend_button.html", {"notification": notification})
