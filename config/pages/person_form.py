"""Form that creates a user who can sign in and has roles, without a second page."""

from typing import Any

from django import forms
from django.contrib.auth.models import Group
from unfold.forms import UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminEmailInputWidget


class NewPersonForm(UserCreationForm):
    usable_password = None  # a password is the only way to sign in
    email = forms.EmailField(
        required=False, widget=UnfoldAdminEmailInputWidget(), help_text="Reminders of tasks are sent to this address."
    )
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        label="Roles",
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
        help_text="What the user may see and do. A user without a role sees an empty front page.",
    )

    class Meta(UserCreationForm.Meta):
        fields = ("username", "email", "groups")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.is_staff = True  # only staff can sign in to the admin
