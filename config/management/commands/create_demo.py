from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError

from chats.fake import create_fake_chats
from chats.models import Chat

CHATS = 1_000
PASSWORD = "12345"  # noqa: S105  printed on the console of an instance that listens on loopback only
PEOPLE = {"marketer": "marketing", "viewer": "viewer"}


class Command(BaseCommand):
    help = "Create the demo users and data of a fresh local instance; does nothing where they are already."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.LOCAL:
            raise CommandError("Demo users have a known password: they are for local instances only.")
        User = get_user_model()
        if not User.objects.exists():
            User.objects.create_superuser("admin", password=PASSWORD)
            for name, group in PEOPLE.items():
                person = User.objects.create_user(name, password=PASSWORD, is_staff=True)
                person.groups.add(Group.objects.get(name=group))
        if not Chat.objects.exists():
            create_fake_chats(CHATS, messages=3)
        self.stdout.write("Demo data is there.")
