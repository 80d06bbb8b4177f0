"""The admin of chats: the chat list and the page that opens a chat."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.paginator import InfinitePaginator
from unfold.views import ChangeList

from chats.admin.conversation import ConversationAdmin
from chats.admin.send import SendBannerAdmin
from chats.chat_count import count_chats
from chats.models import Chat, Message
from core.admin.concurrent_forms import ConcurrentFormsAdmin

Deletion = tuple[list[str], dict[str, int], set[str], list[str]]


class ChatList(ChangeList):
    """Changelist that finds the page's rows first and then counts messages for these rows only."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        page = [chat.pk for chat in self.result_list]
        self.result_list = Chat.objects.with_activity().filter(pk__in=page).order_by("-pk")


@admin.register(Chat)
class ChatAdmin(ConcurrentFormsAdmin, SendBannerAdmin, ConversationAdmin, ModelAdmin):
    list_display = ["uuid", "created", "messages", "last_message", "unread"]
    list_per_page = 50
    list_disable_select_all = True  # a message to all chats is a broadcast
    show_full_result_count = False
    paginator = InfinitePaginator
    ordering = ["-id"]
    sortable_by = ()
    search_fields = ["user_uuid"]
    search_help_text = "UUID, or its beginning"
    fields = ["user_uuid"]
    actions = ["compose_to_selected", *SendBannerAdmin.actions]
    change_list_template = "chats/chat_list.html"
    delete_confirmation_template = "chats/chat_delete.html"
    delete_selected_confirmation_template = "chats/chat_delete_selected.html"

    # --- The list -------------------------------------------------------------------------------
    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChatList]:
        return ChatList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Chat], search_term: str
    ) -> tuple[QuerySet[Chat], bool]:
        """Search by UUID prefix with an index scan; the default would scan the table."""
        return (queryset.matching(search_term) if search_term.strip() else queryset), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Chats", "chat_count": count_chats, **(extra_context or {})})

    @display(description="UUID")
    def uuid(self, chat: Chat) -> str:
        return format_html('<span class="mono">{}</span>', chat.user_uuid)

    @display(description="Created")
    def created(self, chat: Chat) -> str:
        return _when(chat.created_at)

    @display(description="Messages")
    def messages(self, chat: Chat) -> str:
        return format_html('<span class="number">{}</span>', f"{chat.message_count:,}")

    @display(description="Last message")
    def last_message(self, chat: Chat) -> str:
        return _when(chat.last_message_at)

    @display(description="Unread")
    def unread(self, chat: Chat) -> str:
        if not chat.unread_count:
            return format_html('<span class="faint">{}</span>', "all read" if chat.message_count else "–")
        return format_html('<span class="pill" title="unread">{}</span>', f"{chat.unread_count:,}")

    # --- Actions on the selected rows -----------------------------------------------------------
    @admin.action(description="Compose to selected", permissions=["compose"])
    def compose_to_selected(self, request: HttpRequest, queryset: QuerySet[Chat]) -> HttpResponse:
        """Pass the selected users to the compose page through the session, because they do not fit into a URL."""
        request.session["compose_uuids"] = [str(uuid) for uuid in queryset.values_list("user_uuid", flat=True)]
        return HttpResponseRedirect(reverse("admin:chats_broadcast_add"))

    def has_compose_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("chats.send_broadcast")

    # --- Deleting, with the number of deleted rows ----------------------------------------------
    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Deletion:
        """Count the rows that are deleted with the chats. The default would load and list every message."""
        chats = list(objs)
        messages = Message.objects.filter(chat__in=chats).count()
        counts = {"chats": len(chats), "messages": messages}
        lacking = set() if self.has_delete_permission(request) else {"chat"}
        return [str(chat) for chat in chats], counts, lacking, []

    # --- Opening a chat -------------------------------------------------------------------------
    def get_form(
        self, request: HttpRequest, obj: Chat | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm]:
        kwargs["help_texts"] = {"user_uuid": "The user’s id in the product. A user has one chat."}
        return super().get_form(request, obj, change, **kwargs)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {"title": "Open a chat", **only_save, **(extra_context or {})})

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Return False: a chat's UUID never changes. Actions in a chat have their own permissions."""
        return False

    def response_add(self, request: HttpRequest, obj: Chat, post_url_continue: str | None = None) -> HttpResponse:
        """Redirect to the conversation of the new chat."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, "The chat is open.", "success")
        return HttpResponseRedirect(reverse("admin:chats_chat_change", args=[obj.pk]))


def _when(moment: datetime | None) -> str:
    return render_to_string("chats/chat_when.html", {"moment": moment})
