"""The task form. It contains the values it was rendered with, so that only the fields this user changed are saved."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.forms.models import fields_for_model

from core.admin.datetime_field import MomentField
from core.sorting import by_name
from projects.admin.json_responses import people
from projects.models import Project, Task, check_due

INPUT = "projects-input"


class PersonField(forms.ModelChoiceField):
    """A choice of accounts that marks deactivated ones."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.get_username()}{'' if obj.is_active else ' (deactivated)'}"


class TaskForm(forms.Form):
    """The form of a task. After `is_valid()`, `changes()` returns the fields that differ from what the page showed.

    Fields that only another user has changed are therefore left unchanged.
    """

    has_missed = False  # set if another user changed a field after the form was opened

    title = forms.CharField(max_length=255)
    description = forms.CharField(
        required=False, max_length=20_000, widget=forms.Textarea(attrs={"rows": 4, "class": INPUT})
    )
    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    status = forms.ChoiceField(choices=[(each.value, each.label.capitalize()) for each in Task.Status])
    priority = forms.ChoiceField(choices=[(each.value, each.label.capitalize()) for each in Task.Priority])
    assignee = PersonField(User.objects.none(), required=False, empty_label="Unassigned")
    due_date = MomentField(required=False, label="Due", validators=[check_due])

    def __init__(self, *args: Any, task: Task | None = None, **kwargs: Any) -> None:
        if task is not None:
            kwargs["initial"] = {name: task.serializable_value(name) for name in Task.EDITABLE}
        super().__init__(*args, **kwargs)
        self.fields.update(fields_for_model(Task, Task.PLAIN))
        self._offer("project", Project.objects.order_by(by_name("name"), "name"))
        self._offer("assignee", people(task.assignee_id if task else None))
        for name, field in self.fields.items():
            field.show_hidden_initial = task is not None
            field.widget.attrs["class"] = INPUT
            if name in ("title", "description"):
                field.widget.attrs["dir"] = "auto"
                field.widget.attrs.pop("maxlength", None)  # browsers count an emoji as two characters
            if self.is_bound and name in self.errors:
                field.widget.attrs["aria-invalid"] = "true"

    def _offer(self, name: str, choices: QuerySet[Any]) -> None:
        cast(forms.ModelChoiceField, self.fields[name]).queryset = choices

    @property
    def plain_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in Task.PLAIN]

    def changes(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in self.changed_data}


class CardForm(forms.Form):
    """The form of a card written on the board: a title, and the column in which it was written."""

    title = forms.CharField(max_length=255, error_messages={"required": "Enter a title."})
    status = forms.ChoiceField(choices=Task.Status.choices)


class CommentForm(forms.Form):
    has_missed = False  # set if the comment was changed elsewhere after the form was opened

    content = forms.CharField(max_length=20_000, error_messages={"required": "Enter a comment."})
