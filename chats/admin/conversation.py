"""One chat as a conversation: the messages the user sees, newest at the bottom, and a form for a new one."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages as notes
from django.contrib.admin import ModelAdmin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path, reverse

from chats import services
from chats.admin.text import MultilineField
from chats.models import Chat
from core.busy import Busy
from core.images.conversion import ImageRefused, Picture, reencode
from core.storage_failure import StorageFailure

PAGE = 50
MAX_TEXT_LENGTH = 4000
MAX_SEEN_IDS = 100  # messages; more than a chat gets while a transaction is open
MAX_PAGE_NUMBERS = 5_000  # per request


class MessageForm(forms.Form):
    """The form of a personal message: a text, a picture, or both."""

    text = MultilineField(required=False, max_length=MAX_TEXT_LENGTH, widget=forms.Textarea(attrs={"rows": 2}))
    image = forms.FileField(required=False)

    def clean_image(self) -> Picture | None:
        upload: UploadedFile | None = self.cleaned_data["image"]
        if upload is None:
            return None
        try:
            return reencode(upload.read())
        except (ImageRefused, Busy) as refused:
            raise ValidationError(str(refused)) from refused

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if not self.errors and not data.get("text") and data.get("image") is None:
            raise ValidationError("Write something, or add a picture.")
        return data


class ConversationAdmin(ModelAdmin):
    """Mixin of the chat admin: the pages of one chat."""

    def get_urls(self) -> list[URLPattern]:
        def page(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
            return self.admin_site.admin_view(view)

        return [
            path("<int:pk>/earlier/", page(self.earlier), name="chats_chat_earlier"),
            path("<int:pk>/newer/", page(self.newer), name="chats_chat_newer"),
            path("<int:pk>/read/", page(self.mark_read), name="chats_chat_read"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the newest messages. A POST creates one."""
        chat = self.get_object(request, unquote(object_id))
        if chat is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        self._check_access(request, chat)
        form = MessageForm()
        if request.method == "POST":
            form = MessageForm(request.POST, request.FILES)
            try:
                if self._post_message(request, chat, form):
                    return HttpResponseRedirect(f"{request.path}#newest")
            except Chat.DoesNotExist:  # deleted meanwhile
                return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return render(request, "chats/chat.html", self._page_context(request, chat, form))

    def _check_access(self, request: HttpRequest, chat: Model | None = None) -> None:
        if not (self.has_view_permission(request, chat) and request.user.has_perm("chats.view_message")):
            raise PermissionDenied

    def _post_message(self, request: HttpRequest, chat: Chat, form: MessageForm) -> bool:
        if not request.user.has_perm("chats.add_message"):
            raise PermissionDenied
        if not form.is_valid():
            return False
        try:
            services.post_message(chat=chat, text=form.cleaned_data["text"], image=form.cleaned_data["image"])
        except StorageFailure as error:
            form.add_error("image", str(error))
            return False
        return True

    def _page_context(self, request: HttpRequest, chat: Chat, form: MessageForm) -> dict[str, Any]:
        counted = Chat.objects.with_activity().get(pk=chat.pk)
        return {
            **self.admin_site.each_context(request),
            **_messages(chat),
            "title": "Chat",
            "content_title": "Chat",
            "opts": self.opts,
            "original": chat,
            "chat": counted,
            "form": form,
            "longest": MAX_TEXT_LENGTH,
            "may_write": request.user.has_perm("chats.add_message"),
            "may_mark": request.user.has_perm("chats.change_message"),
            "may_delete": self.has_delete_permission(request, chat),
        }

    def earlier(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with the page of messages before message `before`."""
        chat = self._chat(request, pk)
        context = {
            **_messages(chat, before=_number(request, "before")),
            "may_mark": request.user.has_perm("chats.change_message"),
        }
        return render(request, "chats/messages_earlier.html", context)

    def newer(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Return an HTML fragment with messages the page has not shown yet, oldest first.

        It loads the next one if needed.
        """
        chat = self._chat(request, pk)
        floor, seen = _number(request, "floor"), _numbers(request.GET.get("seen", "").split(","))
        unseen = chat.messages.for_reading().order_by("pk").filter(pk__gt=floor).exclude(pk__in=seen)
        found = list(unseen[: PAGE + 1])
        shown = found[:PAGE]
        context = {
            "chat": chat,
            "messages_shown": shown,
            "has_more": len(found) > PAGE,
            "may_mark": request.user.has_perm("chats.change_message"),
            **_position(floor, [*seen, *(message.pk for message in shown)]),
        }
        return render(request, "chats/messages_newer.html", context)

    def mark_read(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Mark exactly the messages that the page has shown as read."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        chat = self._chat(request, pk)
        if not request.user.has_perm("chats.change_message"):
            raise PermissionDenied
        try:
            marked = services.mark_read(chat=chat, ids=_numbers(request.POST.getlist("shown")))
        except Chat.DoesNotExist as gone:
            raise Http404 from gone
        notes.success(request, f"{marked:,} message{'' if marked == 1 else 's'} marked as read.")
        return HttpResponseRedirect(reverse("admin:chats_chat_change", args=[chat.pk]))

    def _chat(self, request: HttpRequest, pk: int) -> Chat:
        self._check_access(request)
        return get_object_or_404(Chat, pk=pk)


def _messages(chat: Chat, before: int | None = None) -> dict[str, Any]:
    """Return up to PAGE messages, oldest first, and the id before which earlier ones continue, if any."""
    found = chat.messages.for_reading()
    if before is not None:
        found = found.filter(pk__lt=before)
    page = list(found[: PAGE + 1])
    shown = page[:PAGE][::-1]
    has_earlier = len(page) > PAGE
    return {
        "chat": chat,
        "messages_shown": shown,
        "earlier_than": shown[0].pk if has_earlier else None,
        **_position(shown[0].pk if has_earlier else 0, [message.pk for message in shown]),
    }


def _position(floor: int, seen: list[int]) -> dict[str, Any]:
    """Return the page's position: all messages up to `floor` were shown, and of the later ones those in `seen`.

    One number is not enough. A fan-out takes its ids some time before its commit, so a message may appear below others
    that are already shown.
    """
    seen = sorted({number for number in seen if number > floor})
    behind, kept = seen[:-MAX_SEEN_IDS], seen[-MAX_SEEN_IDS:]
    return {"floor": behind[-1] if behind else floor, "seen": ",".join(map(str, kept))}


def _number(request: HttpRequest, name: str) -> int:
    """Return the message id in the query parameter `name`. Raises Http404 for anything else."""
    found = _numbers([request.GET.get(name, "")])
    if not found:
        raise Http404
    return found[0]


def _numbers(given: list[str]) -> list[int]:
    texts = [text for text in given if text]
    if len(texts) > MAX_PAGE_NUMBERS or not all(
        text.isascii() and text.isdigit() and len(text) <= 18 for text in texts
    ):
        raise Http404
    return [int(text) for text in texts]
