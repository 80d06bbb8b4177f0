from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now

from chats.stored_images import discard_on_commit
from core.database.deadlocks import retried

DELETED_AT_ONCE = 10_000  # chats per statement


class ChatQuerySet(models.QuerySet["Chat"]):
    def matching(self, term: str) -> ChatQuerySet:
        """Chats whose UUID starts with `term` (hex digits, dashes optional), by a range scan of the unique index."""
        digits = term.replace("-", "").strip().lower()
        if not digits or len(digits) > 32 or not all(digit in "0123456789abcdef" for digit in digits):
            return self.none()
        first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
        return self.filter(user_uuid__range=(first, last))

    def with_activity(self) -> ChatQuerySet:
        """Annotate `message_count`, `unread_count` and `last_message_at`.

        It costs index scans per chat, so paginate first.
        """
        visible = Message.objects.visible().filter(chat=OuterRef("pk")).order_by()

        def count(messages: MessageQuerySet) -> Coalesce:
            counted = messages.values("chat").annotate(number=Count("pk")).values("number")
            return Coalesce(Subquery(counted, output_field=models.IntegerField()), 0)

        return self.annotate(
            message_count=count(visible),
            unread_count=count(visible.filter(read_at=None)),
            last_message_at=Subquery(visible.order_by("-pk").values("created_at")[:1]),
        )

    @retried
    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete chats with their messages and pictures, also while a broadcast is being sent to them.

        The chats are locked first. A concurrent insert of a message is then either committed, and deleted here, or it
        waits for this transaction and finds the chat deleted.
        """
        with transaction.atomic():
            locked = list(self.order_by("pk").select_for_update().values_list("pk", flat=True))
            deleted: Counter[str] = Counter()
            for start in range(0, len(locked), DELETED_AT_ONCE):
                # By id: a chat that was opened meanwhile may match the query too, but is not locked.
                batch = locked[start : start + DELETED_AT_ONCE]
                pictures = Message.objects.filter(chat__in=batch).exclude(own_image="")
                discard_on_commit(*pictures.values_list("own_image", flat=True))
                deleted.update(models.QuerySet.delete(Chat.objects.filter(pk__in=batch))[1])
            return deleted.total(), dict(deleted)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class Chat(models.Model):
    """The only conversation with one user of the product."""

    user_uuid = models.UUIDField("user UUID", unique=True)
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)

    objects = ChatQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return str(self.user_uuid)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete this chat with its messages: see ChatQuerySet.delete."""
        return Chat.objects.filter(pk=self.pk).delete()


class MessageQuerySet(models.QuerySet["Message"]):
    def visible(self) -> MessageQuerySet:
        """The messages that the user sees: all except those of a retracted broadcast."""
        return self.filter(Q(broadcast=None) | Q(broadcast__retracted_at=None))

    def for_reading(self) -> MessageQuerySet:
        """Visible messages, newest first, each with its broadcast, which may hold its content."""
        return self.visible().select_related("broadcast").order_by("-id")

    def unread(self) -> MessageQuerySet:
        return self.filter(read_at=None)


class Message(models.Model):
    """One message in one chat. A broadcast's message has no content of its own; the broadcast stores it once."""

    # The database checks both references once per statement, not per row: migration 0006.
    chat = models.ForeignKey(Chat, models.CASCADE, related_name="messages", db_index=False, db_constraint=False)
    broadcast = models.ForeignKey(
        "chats.Broadcast",
        models.PROTECT,
        related_name="messages",
        null=True,
        blank=True,
        db_index=False,
        db_constraint=False,
    )
    own_text = models.TextField("text", blank=True, db_default="", default="")
    own_image = models.FileField("image", blank=True, max_length=200, db_default="", default="")
    created_at = models.DateTimeField("created", db_default=Now(), editable=False)
    read_at = models.DateTimeField("read", null=True, blank=True)

    objects = MessageQuerySet.as_manager()

    class Meta:
        indexes = [
            # A chat's messages, newest first; the counts on the chat list.
            models.Index(fields=["chat", "-id"], name="chats_message_by_chat"),
            # Query before a picture is served, and of the file sweeper: which message has this image?
            models.Index(fields=["own_image"], condition=~Q(own_image=""), name="chats_message_picture"),
        ]
        constraints = [
            # No chat gets a broadcast twice. Also serves lookups of the messages of one broadcast.
            models.UniqueConstraint(
                fields=["broadcast", "chat"],
                condition=Q(broadcast__isnull=False),
                name="chats_message_once_per_broadcast",
            ),
            models.CheckConstraint(
                condition=(
                    Q(broadcast__isnull=False, own_text="", own_image="")
                    | (Q(broadcast__isnull=True) & ~Q(own_text="", own_image=""))
                ),
                name="chats_message_content",
            ),
        ]

    def __str__(self) -> str:
        return self.text[:60] or "(picture)"

    @property
    def text(self) -> str:
        return self.broadcast.text if self.broadcast else self.own_text

    @property
    def image(self) -> models.fields.files.FieldFile:
        return self.broadcast.image if self.broadcast else self.own_image
