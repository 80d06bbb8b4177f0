"""The reminder list: what was mailed to whom, and what failed. Opsroom writes the rows; users can only retry them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from core.rest.snapshots import SnapshotLists
from projects.models import Reminder
from projects.reminders import retry_reminders


@admin.register(Reminder)
class ReminderAdmin(SnapshotLists, ModelAdmin):
    list_display = ["about", "due", "state", "recipient", "attempts", "sent"]
    list_display_links = None  # the title links to the task
    list_select_related = ["task"]
    list_filter = [("status", ChoicesDropdownFilter)]
    list_filter_submit = True
    list_per_page = 50
    search_fields = ["task__title", "recipient"]
    search_help_text = "Task or address"
    actions = ["try_again"]
    change_list_template = "projects/reminder_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return self.get_readonly_fields(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return ["task", "due_date", "status", "recipient", "attempts", "error", "created_at", "sent_at"]

    @display(description="Task", ordering="task__title")
    def about(self, reminder: Reminder) -> str:
        page = reverse("admin:projects_task_change", args=[reminder.task_id])
        return format_html('<a class="link" href="{}">{}</a>', page, reminder.task.title)

    @display(description="Due", ordering="due_date")
    def due(self, reminder: Reminder) -> str:
        return render_to_string("projects/when.html", {"moment": reminder.due_date, "style": "short"})

    @display(description="State", ordering="status")
    def state(self, reminder: Reminder) -> str:
        return render_to_string("projects/reminder_state.html", {"reminder": reminder})

    @display(description="Sent", ordering="sent_at")
    def sent(self, reminder: Reminder) -> str:
        return render_to_string("projects/when.html", {"moment": reminder.sent_at, "style": "short"})

    @admin.action(description="Try again", permissions=["change"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Reminder]) -> None:
        """Retry those of the selected reminders that failed. A worker sends them within a minute."""
        ids = retry_reminders(ids=queryset.values_list("pk", flat=True))
        tried = len(ids)
        for reminder in Reminder.objects.filter(pk__in=ids):
            self.log_change(request, reminder, "Started another attempt.")
        words = f"{tried:,} failed reminder{'' if tried == 1 else 's'} will be tried again."
        self.message_user(request, words, "success" if tried else "warning")
