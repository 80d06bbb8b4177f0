"""The form of a broadcast: content, audience and time. Text and uploads are kept if the form has errors."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from django.utils.functional import cached_property
from unfold.widgets import UnfoldAdminTextareaWidget

from chats.admin.text import MultilineField
from chats.broadcasts import drafts
from chats.broadcasts.drafts import Draft
from chats.broadcasts.user_list import Listed, read_list
from chats.models import ALL_CHATS, Audience, ListedUsers
from chats.models.audience import KINDS
from chats.stored_images import MAX_IMAGE_BYTES
from core.admin.datetime_field import MomentField, MomentInput
from core.busy import Busy
from core.images.conversion import ImageRefused, reencode
from core.storage_failure import StorageFailure

MAX_LIST_FILE_BYTES = 20 * 1024 * 1024  # 200,000 UUIDs with a few other columns
TIMES = {"now": "Now", "later": "Later"}


class ComposeForm(forms.Form):
    """The compose form.

    After `is_valid()`, `picture` and `listed_file` are drafts or None, `listed` is the list or None.

    The drafts are also set if the form has errors, so that the page can offer the uploads again.
    """

    text = MultilineField(
        required=False,
        max_length=4000,
        widget=UnfoldAdminTextareaWidget({"rows": 6, "placeholder": "Text of the message"}),
    )
    picture_file = forms.FileField(required=False)
    picture_kept = forms.CharField(required=False)
    audience = forms.ChoiceField(choices=[(kind, kind) for kind in KINDS], initial=ALL_CHATS.kind)
    users = forms.CharField(
        required=False, strip=False, widget=UnfoldAdminTextareaWidget({"rows": 5, "spellcheck": "false"})
    )
    users_file = forms.FileField(required=False)
    users_kept = forms.CharField(required=False)
    when = forms.ChoiceField(choices=TIMES.items(), initial="now")
    send_at = MomentField(required=False, widget=MomentInput({"class": "compose__time"}))

    def __init__(self, *args: Any, owner: Any, has_audience: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not has_audience:
            for name in ("audience", "users", "users_file", "users_kept"):
                del self.fields[name]
        self.owner = owner
        self.picture: Draft | None = None
        self.listed_file: Draft | None = None
        self.listed: Listed | None = None

    @property
    def chosen_audience(self) -> Audience:
        """The audience of a valid form."""
        return ListedUsers(self.listed.user_uuids) if self.listed else ALL_CHATS

    @cached_property
    def key(self) -> UUID:
        """Return the key that makes a double click create one broadcast: the submitted one, otherwise a new one."""
        try:
            return UUID(str(self.data.get("request_key", "")))
        except ValueError:
            return uuid4()

    def key_of_content(self) -> UUID:
        """Return a key for the form's content, so that resubmitting it with another text creates another broadcast."""
        listed = sorted(map(str, self.listed.user_uuids)) if self.listed else None
        picture = self.picture.reference if self.picture else ""
        content = [self.cleaned_data["text"], picture, listed, str(self.moment)]
        return uuid5(self.key, json.dumps(content))

    def _clean_fields(self) -> None:
        self._find_kept()  # first, so that kept uploads survive errors in other fields
        super()._clean_fields()  # type: ignore[misc]  # private, and not in the stubs

    def clean_picture_file(self) -> None:
        file: UploadedFile | None = self.cleaned_data["picture_file"]
        if file is None:
            return
        if (file.size or 0) > MAX_IMAGE_BYTES:
            raise forms.ValidationError("The picture is larger than 5 MB.")
        try:
            self.picture = drafts.keep_picture(reencode(file.read()), owner=self.owner)
        except (ImageRefused, Busy) as error:
            raise forms.ValidationError(str(error)) from error
        except StorageFailure as error:
            raise forms.ValidationError(f"The picture could not be stored. {error}") from error

    def _find_kept(self) -> None:
        kept, listed = self.data.get("picture_kept", ""), self.data.get("users_kept", "")
        self.picture = drafts.find(kept, owner=self.owner, suffix=".webp") if kept else None
        self.listed_file = drafts.find(listed, owner=self.owner, suffix=".txt") if listed else None

    def clean_users_file(self) -> None:
        file: UploadedFile | None = self.cleaned_data["users_file"]
        pasted = self.cleaned_data.get("users", "")
        if file is not None:
            if (file.size or 0) > MAX_LIST_FILE_BYTES:
                raise forms.ValidationError("The file is larger than 20 MB.")
            self._keep_list(_as_text(file.read()), file.name or "list")
        elif pasted.strip():
            self._keep_list(pasted, "")

    def _keep_list(self, text: str, title: str) -> None:
        try:
            self.listed_file = drafts.keep_list(text, title=title, owner=self.owner)
        except StorageFailure as error:
            raise forms.ValidationError(f"The list could not be stored. {error}") from error

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if self.data.get("picture_kept") and self.picture is None and "picture_file" not in self.errors:
            self.add_error("picture_file", drafts.PICTURE_GONE)
        elif not data.get("text", "").strip() and self.picture is None and not self.errors:
            self.add_error("text", "Write a text or add a picture.")
        if data.get("audience") == ListedUsers.kind and "users_file" not in self.errors:
            self._clean_list()
        self._clean_time(data)
        return data

    def _clean_list(self) -> None:
        if self.listed_file is None:
            self.add_error("users", "Paste the UUIDs of the users, or choose a file that contains them.")
            return
        try:
            self.listed = read_list(self.listed_file.read().decode(errors="replace"))
        except drafts.DraftGone:
            self.listed_file = None
            self.add_error("users", "The list is not kept any more. Please choose it again.")
            return
        if not self.listed.user_uuids:
            self.add_error("users", "There is no UUID in this list.")
        elif len(self.listed.user_uuids) > ListedUsers.MAX_USERS:
            self.add_error(
                "users", f"At most {ListedUsers.MAX_USERS:,} users; this list has {len(self.listed.user_uuids):,}."
            )

    def _clean_time(self, data: dict[str, Any]) -> None:
        if data.get("when") != "later" or "send_at" in self.errors:
            return
        if data.get("send_at") is None:
            self.add_error("send_at", "Enter a day and a time.")
        elif data["send_at"] <= timezone.now():
            self.add_error("send_at", "This time has passed.")

    @property
    def moment(self) -> datetime | None:
        """The time to send at, or None for now."""
        return self.cleaned_data.get("send_at") if self.cleaned_data.get("when") == "later" else None

    def to_be_kept(self) -> dict[str, str]:
        """Return a valid form's fields for its preview: uploads as references, the time with its UTC offset."""
        return {
            "request_key": str(self.key),
            "zone": timezone.get_current_timezone_name(),
            "version": self.data.get("version", ""),
            "text": self.data.get("text", ""),
            "picture_kept": self.picture.reference if self.picture else "",
            "audience": self.data.get("audience", ""),
            "users_kept": self.listed_file.reference if self.listed_file else "",
            "when": self.data.get("when", ""),
            "send_at": self.moment.isoformat() if self.moment else "",
        }

    def values(self) -> dict[str, Any]:
        """Return the values for the page's fields: the submitted ones, even if they are invalid."""
        source = self.data if self.is_bound else self.initial
        defaults = {"text": "", "audience": ALL_CHATS.kind, "when": "now", "zone": timezone.get_current_timezone_name()}
        return {name: source.get(name) or default for name, default in defaults.items()}

    @property
    def pasted(self) -> str:
        """The text for the list's text area: what was pasted, also if only its draft was submitted."""
        if self.is_bound and self.data.get("users"):
            return self.data["users"]
        if self.listed_file is not None and not self.listed_file.title:
            with suppress(drafts.DraftGone):
                return self.listed_file.read().decode(errors="replace")
        return ""


def _as_text(content: bytes) -> str:
    """Decode a text file. Spreadsheets save "Unicode text" as UTF-16 with a byte order mark."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="replace")
