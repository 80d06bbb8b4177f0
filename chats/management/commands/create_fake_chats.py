from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from chats.demo.fake import create_fake_chats


class Command(BaseCommand):
    help = "Create fake chats: a million takes seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--total", type=int, required=True, help="how many chats")
        parser.add_argument("--messages", type=int, default=0, help="how many messages each")

    def handle(self, *args: Any, total: int, messages: int, **options: Any) -> None:
        if total < 1 or messages < 0:
            raise CommandError("--total must be at least 1, and --messages may not be negative.")
        with tqdm(total=total, unit=" chats", unit_scale=True, disable=options["verbosity"] == 0) as bar:
            create_fake_chats(total, messages, bar.update)
        self.stdout.write(self.style.SUCCESS(f"Created {total:,} chats with {total * messages:,} messages."))
