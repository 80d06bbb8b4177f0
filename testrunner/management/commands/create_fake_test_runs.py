from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from testrunner.demo.fake import create_fake_test_runs


class Command(BaseCommand):
    help = "Create fake finished test runs with results and logs: a hundred thousand take seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--total", type=int, required=True, help="how many runs")
        parser.add_argument("--days", type=int, default=30, help="over how many days until now")

    def handle(self, *args: Any, total: int, days: int, **options: Any) -> None:
        if total < 1 or days < 1:
            raise CommandError("--total and --days must be at least 1.")
        create_fake_test_runs(total, days)
        self.stdout.write(self.style.SUCCESS(f"Created {total:,} test runs over {days} days."))
