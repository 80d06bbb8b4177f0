from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """The ground floor: every app may ask who a token belongs to."""

    name = "accounts"
