from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError

from config.local.demo_password import DEMO_PASSWORD
from core.registry import all_apps

PEOPLE = {
    "marketer": "marketing",
    "planner": "planning",
    "analyst": "analytics",
    "tester": "testing",
    "viewer": "viewer",
}


class Command(BaseCommand):
    help = "Create the demo users and data of a fresh local instance; does nothing where they are already."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.LOCAL:
            raise CommandError("Demo users have a known password: they are for local instances only.")
        User = get_user_model()
        if not User.objects.exists():
            User.objects.create_superuser("admin", password=DEMO_PASSWORD)
        for name, group in PEOPLE.items():
            # One by one: an instance that is older than a role gets that role's user.
            if User.objects.filter(username="admin").exists() and not User.objects.filter(username=name).exists():
                person = User.objects.create_user(name, f"{name}@localhost", DEMO_PASSWORD, is_staff=True)
                person.groups.add(Group.objects.get(name=group))
        for app in all_apps():
            app.create_demo()
        self.stdout.write("Demo data is there.")
