from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from core.data.erasure import count, erase
from core.registry import Person


class Command(BaseCommand):
    help = "Erase a person: the chat of a user with messages and pictures, notifications, and the events of sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", type=UUID, help="UUID of the user in chats and notifications")
        parser.add_argument(
            "--session", action="append", default=[], help="id of a session; may be given more than once"
        )
        parser.add_argument("--dry-run", action="store_true", help="only count")
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        person = Person(options["user"], list(dict.fromkeys(options["session"])))
        if person.user_uuid is None and not person.sessions:
            raise CommandError("Name a user with --user, or sessions with --session.")
        self._show(count(person), "found")
        if options["dry_run"]:
            return
        if not options["yes"] and input("Erase all of it? This cannot be undone. [y/N] ").strip().lower() != "y":
            raise CommandError("Nothing was erased.")
        self._show(erase(person), "erased")

    def _show(self, numbers: dict[str, int], words: str) -> None:
        for name, number in numbers.items():
            self.stdout.write(f"{number:>12,}  {name} {words}")
