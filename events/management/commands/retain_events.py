from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.template.defaultfilters import filesizeformat

from events import retention
from events.retention import Old


class Command(BaseCommand):
    help = "Delete events, sessions, counts and rejected events that are older than EVENT_RETENTION_DAYS."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only show what would go")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        before = retention.horizon()
        if before is None:
            self.stdout.write("EVENT_RETENTION_DAYS is 0: everything is kept.")
            return
        verb = "would go" if dry_run else "is deleted"
        self.stdout.write(f"What is from before {before:%Y-%m-%d} {verb} ({settings.EVENT_RETENTION_DAYS} days).")
        gone = [old for old in retention.what_would_go() if old.rows or old.size] if dry_run else self._retain()
        for old in gone:
            self.stdout.write(f"  {_described(old)}")
        if not gone:
            self.stdout.write("  Nothing.")

    def _retain(self) -> list[Old]:
        gone: list[Old] = []
        while some := retention.retain():  # until a pass finds nothing more
            gone += some
        return gone


def _described(old: Old) -> str:
    if old.size is None:
        return f"{old.table}: {old.rows:,} rows"
    return f"{old.table}: a partition of about {old.rows:,} rows, {filesizeformat(old.size)}"
