"""The form of a task. It knows what it was rendered with, so that it sends only what this person changed."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet

from core.admin.datetime_field import MomentField
from core.sorting import by_name
from projects.admin.json_responses import people
from projects.models import Project, Task, check_due

INPUT = "pr-input"


class PersonField(forms.ModelChoiceField):
    """A choice of accounts, of which one that is deactivated says so."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.get_username()}{'' if obj.is_active else ' (deactivated)'}"


class TaskForm(forms.Form):
    """`changes()` after `is_valid()` is what differs from what the page had shown: another's change stays."""

    has_missed = False  # what another user changed after it was opened

    title = forms.CharField(max_length=255)
    description = forms.CharField(
        required=False, max_length=20_000, widget=forms.Textarea(attrs={"rows": 4, "class": INPUT})
    )
    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    status = forms.ChoiceField(choices=[(each.value, each.label.capitalize()) for each in Task.Status])
    priority = forms.ChoiceField(choices=[(each.value, each.label.capitalize()) for each in Task.Priority])
    assignee = PersonField(User.objects.none(), required=False, empty_label="Nobody")
    due_date = MomentField(required=False, label="Due", validators=[check_due])

    def __init__(self, *args: Any, task: Task | None = None, **kwargs: Any) -> None:
        if task is not None:
            kwargs["initial"] = {name: getattr(task, name) for name in self.base_fields}
            kwargs["initial"] |= {"project": task.project_id, "assignee": task.assignee_id}
        super().__init__(*args, **kwargs)
        self._offer("project", Project.objects.order_by(by_name("name"), "name"))
        self._offer("assignee", people(task.assignee_id if task else None))
        for name, field in self.fields.items():
            field.show_hidden_initial = task is not None
            field.widget.attrs["class"] = INPUT
            if name in ("title", "description"):
                field.widget.attrs["dir"] = "auto"
                field.widget.attrs.pop("maxlength", None)  # which counts an emoji as two
            if self.is_bound and name in self.errors:
                field.widget.attrs["aria-invalid"] = "true"

    def _offer(self, name: str, choices: QuerySet[Any]) -> None:
        cast(forms.ModelChoiceField, self.fields[name]).queryset = choices

    def changes(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data}


class CardForm(forms.Form):
    """A card written in place: a title, and the column that it was written in."""

    title = forms.CharField(max_length=255, error_messages={"required": "Write what is to be done."})
    status = forms.ChoiceField(choices=Task.Status.choices)


class CommentForm(forms.Form):
    has_missed = False  # what was changed in another tab after it was opened

    content = forms.CharField(max_length=20_000, error_messages={"required": "Write something first."})
