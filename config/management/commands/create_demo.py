from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.management.base import BaseCommand, CommandError

from chats.demo.fake import create_fake_chats
from chats.models import Chat
from config.local.demo_password import DEMO_PASSWORD
from events.demo.fake import create_fake_events
from events.models import Event
from projects.demo.content import create_demo_projects
from testrunner.demo.content import create_demo_test_runs

CHATS = 1_000
EVENTS, EVENT_DAYS = 10_000, 7
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
        if not Chat.objects.exists():
            create_fake_chats(CHATS, messages=3)
        if not Event.objects.exists():
            create_fake_events(EVENTS, EVENT_DAYS, ("Website", "Mobile app"))
        create_demo_projects(planner=User.objects.filter(username="planner").first())
        create_demo_test_runs()
        self.stdout.write("Demo data is there.")
