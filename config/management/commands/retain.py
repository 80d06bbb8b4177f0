from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from core.data import retention


class Command(BaseCommand):
    help = "Delete what is older than the settings keep it, all of it; events have a command of their own."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only count")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self._show(retention.what_would_go(), "would be deleted")
            return
        total: dict[str, int] = {}
        while gone := retention.retain():
            for name, number in gone.items():
                total[name] = total.get(name, 0) + number
        self._show(total, "deleted")

    def _show(self, numbers: dict[str, int], words: str) -> None:
        for name, number in sorted(numbers.items()):
            self.stdout.write(f"{number:>12,}  {name} {words}")
        if not any(numbers.values()):
            self.stdout.write("Nothing is older than it is kept.")
