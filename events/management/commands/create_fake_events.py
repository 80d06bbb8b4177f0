from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from events.demo.fake import REJECTED, create_fake_events


class Command(BaseCommand):
    help = "Create fake events with sessions, counts and some that are rejected: ten millions take minutes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--total", type=int, required=True, help="how many events")
        parser.add_argument("--days", type=int, default=30, help="over how many days up to now (default: 30)")

    def handle(self, *args: Any, total: int, days: int, **options: Any) -> None:
        if total < 1 or not 1 <= days <= 3_650:
            raise CommandError("--total must be at least 1, and --days between 1 and 3650.")
        with tqdm(total=total, unit=" events", unit_scale=True, disable=options["verbosity"] == 0) as bar:
            create_fake_events(total, days, progress=bar.update)
        self.stdout.write(
            self.style.SUCCESS(f"Created {total:,} events of {days} days, and about {REJECTED:.0%} as many rejected.")
        )
