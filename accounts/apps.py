from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_save, pre_save


class AccountsConfig(AppConfig):
    """The ground floor: every app may ask who a token belongs to."""

    name = "accounts"

    def ready(self) -> None:
        from accounts import passwords

        pre_save.connect(passwords.remember_hash, sender=settings.AUTH_USER_MODEL, dispatch_uid="remember hash")
        post_save.connect(passwords.follow_rehash, sender=settings.AUTH_USER_MODEL, dispatch_uid="follow rehash")
