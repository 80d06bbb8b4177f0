"""The "Send banner" button of the chat, banner and broadcast lists: one confirmation, one banner to all chats."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import ActionForm, BaseDialogForm

from chats import services
from chats.banners.api_client import BannerApiError
from chats.models import Broadcast, BroadcastNotAllowed, Chat
from core.admin.dialog import go_to
from core.http.named_urls import split_url
from core.numerals import number

NOT_ONLY = " All chats get it, not only the selected ones."


def may_send(request: HttpRequest) -> bool:
    """Return whether the user may send. It is a permission of its own, because one request reaches all users."""
    return request.user.has_perm("chats.send_broadcast")


def page_of(broadcast: Broadcast) -> str:
    return reverse("admin:chats_broadcast_change", args=[broadcast.pk])


class SendBannerForm(BaseDialogForm):
    """The confirmation. Its key makes a double click create one broadcast."""

    form_before_template = "chats/send_dialog.html"
    request_key = forms.UUIDField(widget=forms.HiddenInput({"id": "send-key"}), initial=uuid4)

    def get_before_template_context(self, request: HttpRequest, object_id: Any = None) -> dict[str, Any]:
        return {"chats": Chat.objects.count(), "selected": number(request.GET.get("selected", ""))}


class SendActionForm(ActionForm):
    """The form of the actions on selected rows, with a key for the same reason."""

    request_key = forms.UUIDField(
        label="", required=False, widget=forms.HiddenInput({"id": "action-key"}), initial=uuid4
    )


class SendBannerAdmin(admin.ModelAdmin):
    """Mixin that adds "Send banner" to a list, as a button without selection and as an action on selected rows."""

    actions_list: Any = ["send_banner"]
    actions: Any = ["send_banner_to_all"]
    action_form = SendActionForm

    class Media:
        css = {"all": ["chats/broadcasts.css"]}
        js = ["chats/broadcasts.js"]

    def has_send_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_send(request)

    @action(
        description="Send banner",
        url_path="send-banner",
        icon="send",
        variant=ActionVariant.PRIMARY,
        permissions=["send"],
        dialog={
            "title": "Send the next banner?",
            "description": "",
            "form_class": SendBannerForm,
            "form_submit_text": "Send to all chats",
        },
    )
    def send_banner(self, request: HttpRequest, form: SendBannerForm) -> HttpResponse:
        remark = NOT_ONLY if request.GET.get("selected") else ""
        return self._send_banner(request, form.cleaned_data["request_key"], remark)

    @admin.action(description="Send banner (to all chats, not only these)", permissions=["send"])
    def send_banner_to_all(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._send_banner(request, _key_of(request), NOT_ONLY)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        # Django ignores an action that the form did not offer; a forged request for this one gets 403.
        if request.POST.get("action") == "send_banner_to_all" and not may_send(request):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def _send_banner(self, request: HttpRequest, key: UUID, remark: str = "") -> HttpResponse:
        try:
            broadcast = services.send_next_banner(actor=request.user, request_key=key)
        except (BannerApiError, BroadcastNotAllowed) as error:
            messages.error(request, getattr(error, "reason", "") or str(error))
            return go_to(request, self._list_address(request))
        messages.success(request, f"The banner is queued for all chats.{remark}")
        return go_to(request, page_of(broadcast))

    def _list_address(self, request: HttpRequest) -> str:
        """Return the list's URL with the filters it had when the button was pressed."""
        address = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        asked_from = split_url(request.headers.get("HX-Current-URL", "") or request.get_full_path())
        return f"{address}?{asked_from.query}" if asked_from.path == address and asked_from.query else address


def _key_of(request: HttpRequest) -> UUID:
    try:
        return UUID(request.POST.get("request_key", ""))
    except ValueError:
        return uuid4()
