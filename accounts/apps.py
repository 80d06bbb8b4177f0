from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """App config of accounts. It depends on no other app, so every app may use its tokens."""

    name = "accounts"
